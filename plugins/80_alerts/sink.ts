/**
 * Where alerts go: each sink is an address and a body.
 *
 * @module
 */
import type { Alert } from "./alert.ts";

/** A place that takes alerts by `POST` with a JSON body. */
export interface Sink {
  /** For the log. */
  readonly name: "webhook" | "slack" | "telegram";
  /** A secret: it may hold a token, so that it stands in no message. */
  readonly url: string;
  /** The body that it wants. */
  body(alert: Alert): unknown;
}

/** Any program: the alert as it is. */
export function webhook(url: string): Sink {
  return { name: "webhook", url, body: (alert) => alert };
}

/** Slack, and what takes its incoming webhooks: Mattermost, Rocket.Chat and others. */
export function slack(url: string): Sink {
  return { name: "slack", url, body: ({ text }) => ({ text: escaped(text) }) };
}

/** A chat of Telegram, by its bot API. */
export function telegram(baseUrl: string, token: string, chat: string): Sink {
  return {
    name: "telegram",
    url: `${baseUrl.replace(/\/+$/, "")}/bot${token}/sendMessage`,
    body: ({ text }) => ({ chat_id: chat, text }),
  };
}

/** So that a key's name, such as `<!channel>`, calls nobody. */
function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
