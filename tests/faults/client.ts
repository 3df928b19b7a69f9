/**
 * What a caller sees: the official client, which retries nothing.
 *
 * @module
 */
import OpenAI, { APIError } from "openai";
import type { BreakPolicy } from "../../core/plugin.ts";
import type { Lab } from "./vendor_call.ts";

/** A call to make. */
export interface CallToMake {
  /** The models, the first choice first. */
  readonly models: readonly string[];
  /** Passed on to the vendors. */
  readonly lab: Lab;
  /** Asked for as a stream. */
  readonly stream: boolean;
  /** What the request asks for when a stream breaks off; the route's own choice where absent. */
  readonly onBreak?: BreakPolicy | undefined;
  /** Milliseconds after which the caller takes it for hanging. */
  readonly patienceMs: number;
}

/** What came back. */
export interface Seen {
  /** All words that arrived. */
  readonly text: string;
  /** Every finish reason that arrived. */
  readonly finishes: readonly string[];
  /** The usage, where one arrived. */
  readonly usage?: { readonly prompt: number; readonly completion: number; readonly cost?: number };
  /** The model's name in the answer. */
  readonly model?: string;
  /** Why there was no answer, or no end of it; without a code it is not one of XRouter's. */
  readonly error?: { readonly code?: string; readonly message: string; readonly status?: number };
  /** The caller gave up. */
  readonly hung: boolean;
  /** When it began, by `performance.now()`. */
  readonly startedAt: number;
  /** Milliseconds to the last byte. */
  readonly ms: number;
}

const messages = [{ role: "user" as const, content: "Say the sixty words, please." }];

/** Makes a call and reads all that comes. Never rejects. */
export async function call(url: string, secret: string, wanted: CallToMake): Promise<Seen> {
  const { models: [model = "", ...models], lab, stream, onBreak, patienceMs } = wanted;
  const baseURL = `${url}/v1`;
  const client = new OpenAI({ baseURL, apiKey: secret, maxRetries: 0, logLevel: "off" });
  const patience = new AbortController();
  const { signal } = patience;
  const timer = setTimeout(() => patience.abort(), patienceMs);
  const headers = {
    // The ledger names the run by it.
    "x-xrouter-tag": lab.run,
    ...(onBreak !== undefined && { "x-xrouter-on-break": onBreak }),
  };
  const startedAt = performance.now();
  const seen = new Arriving();
  try {
    const body = { model, ...(models.length > 0 && { models }), lab, messages };
    if (stream) {
      const options = { include_usage: true };
      const params = { ...body, stream: true as const, stream_options: options };
      const events = await client.chat.completions.create(params, { signal, headers });
      for await (const { choices: [choice], usage, ...event } of events) {
        seen.add(event.model, choice?.delta.content, choice?.finish_reason, usage);
      }
    } else {
      const answer = await client.chat.completions.create(body, { signal, headers });
      const [choice] = answer.choices;
      seen.add(answer.model, choice?.message.content, choice?.finish_reason, answer.usage);
    }
  } catch (thrown) {
    if (!signal.aborted) seen.error = errorOf(thrown);
  } finally {
    clearTimeout(timer);
  }
  // The client ends a stream quietly when its signal fires.
  return { ...seen.all(), hung: signal.aborted, startedAt, ms: performance.now() - startedAt };
}

/** An answer while it arrives. */
class Arriving {
  readonly #texts: string[] = [];
  readonly #finishes: string[] = [];
  #model: string | undefined;
  #usage: Seen["usage"];
  error: Seen["error"];

  add(
    model: string | undefined,
    text: string | null | undefined,
    finish: string | null | undefined,
    usage: (OpenAI.CompletionUsage & { cost?: number }) | null | undefined,
  ): void {
    if (model) this.#model = model;
    if (text) this.#texts.push(text);
    if (finish) this.#finishes.push(finish);
    if (usage) {
      const { prompt_tokens: prompt, completion_tokens: completion, cost } = usage;
      this.#usage = { prompt, completion, ...(cost !== undefined && { cost }) };
    }
  }

  all(): Pick<Seen, "text" | "finishes" | "usage" | "model" | "error"> {
    return {
      text: this.#texts.join(""),
      finishes: this.#finishes,
      ...(this.#model !== undefined && { model: this.#model }),
      ...(this.#usage !== undefined && { usage: this.#usage }),
      ...(this.error !== undefined && { error: this.error }),
    };
  }
}

function errorOf(thrown: unknown): NonNullable<Seen["error"]> {
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  if (!(thrown instanceof APIError)) return { message };
  const { code, status } = thrown;
  return {
    message,
    ...(typeof code === "string" && { code }),
    ...(status !== undefined && { status }),
  };
}
