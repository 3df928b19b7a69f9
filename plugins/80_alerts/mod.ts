/**
 * Tells people, in a chat or by a webhook, when a provider goes down, requests fail, credit comes to
 * its end or nothing can be recorded: once an event, and when it is over.
 *
 * @module
 */
import type { Hono } from "hono";
import { definePlugin, setting } from "xrouter/plugin";
import { z } from "zod";
import { wholeNumber } from "../../core/settings.ts";
import { languages } from "./alert.ts";
import { AlertBoard } from "./board.ts";
import { CreditWatch } from "./credit_watch.ts";
import { Delivery } from "./delivery.ts";
import { ErrorRate } from "./error_rate.ts";
import { watchProviders } from "./provider_watch.ts";
import { Readiness } from "./readiness.ts";
import { type Sink, slack, telegram, webhook } from "./sink.ts";
import { ToldStore } from "./told.ts";

/** Milliseconds between two looks at accounts, rates and readiness. */
const lookMs = 2_000;

const address = z.string().refine((text) => /^https?:$/.test(URL.parse(text)?.protocol ?? ""), {
  error: "must be an address that begins with https:// or http://",
});
const secret = { secret: true };
const number = z.number({ error: "must be a number" });

export default definePlugin({
  name: "alerts",
  onError: "skip",
  config: z.strictObject({
    webhookUrl: setting(
      "XROUTER_ALERT_WEBHOOK_URL",
      address.optional(),
      "Where alerts are posted as JSON",
      secret,
    ),
    slackUrl: setting(
      "XROUTER_ALERT_SLACK_URL",
      address.optional(),
      "An incoming webhook of Slack, or of what takes the same, that gets alerts",
      secret,
    ),
    telegramToken: setting(
      "XROUTER_ALERT_TELEGRAM_TOKEN",
      z.string().optional(),
      "The token of a Telegram bot that sends alerts",
      secret,
    ),
    telegramChat: setting(
      "XROUTER_ALERT_TELEGRAM_CHAT",
      z.coerce.string().optional(),
      "The chat that the Telegram bot sends alerts to: its number, or @ and its name",
    ),
    telegramUrl: setting(
      "XROUTER_ALERT_TELEGRAM_URL",
      address.default("https://api.telegram.org"),
      "The address of Telegram's bot API",
    ),
    language: setting(
      "XROUTER_ALERT_LANGUAGE",
      z.enum(languages, { error: 'must be "en" or "ru"' }).default("en"),
      "The language of alerts: en or ru",
    ),
    quietSeconds: setting(
      "XROUTER_ALERT_QUIET_SECONDS",
      wholeNumber(0).default(60),
      "Seconds after an alert in which nothing more is told of its subject",
    ),
    errorRate: setting(
      "XROUTER_ALERT_ERROR_RATE",
      number.positive({ error: "must be above 0" }).max(1, { error: "must be at most 1" })
        .default(0.1),
      "Share of failed requests from which on an alert is sent",
    ),
    errorSeconds: setting(
      "XROUTER_ALERT_ERROR_SECONDS",
      wholeNumber(10).default(300),
      "Seconds of requests that the share is taken of",
    ),
    errorRequests: setting(
      "XROUTER_ALERT_ERROR_REQUESTS",
      wholeNumber(1).default(20),
      "Requests in these seconds that it takes to send an alert",
    ),
  }).refine(
    ({ telegramToken, telegramChat }) =>
      (telegramToken === undefined) === (telegramChat === undefined),
    {
      path: ["telegramChat"],
      error: "set both XROUTER_ALERT_TELEGRAM_TOKEN and XROUTER_ALERT_TELEGRAM_CHAT, or neither",
    },
  ),
  async setup(config, { catalog, database, currency, log }) {
    const { webhookUrl, slackUrl, telegramUrl, telegramToken, telegramChat } = config;
    const sinks: Sink[] = [];
    if (webhookUrl !== undefined) sinks.push(webhook(webhookUrl));
    if (slackUrl !== undefined) sinks.push(slack(slackUrl));
    if (telegramToken !== undefined) {
      sinks.push(telegram(telegramUrl, telegramToken, telegramChat!));
    }
    if (sinks.length === 0) return {};

    const deliveries = sinks.map((sink) => new Delivery(sink, log));
    const quietMs = config.quietSeconds * 1000;
    const board = new AlertBoard({
      told: new ToldStore(database, quietMs),
      quietMs,
      language: config.language,
      log,
      send: (alert) => deliveries.forEach((each) => each.add(alert)),
    });
    await board.load();
    const credit = new CreditWatch(database, currency, board);
    const rate = new ErrorRate({
      rate: config.errorRate,
      windowMs: config.errorSeconds * 1000,
      least: config.errorRequests,
    }, board.isTold("error-rate", ""));
    const providers = watchProviders(
      catalog,
      (name, isDown, { calls, failed, slow }) =>
        board.report("provider", name, isDown, { calls, failed, slow }),
    );
    let readiness: Readiness | undefined;
    const look = async () => {
      board.tick();
      const { isHigh, facts } = rate.judge();
      board.report("error-rate", "", isHigh, facts);
      const looks = await Promise.allSettled([readiness?.look(), credit.look()]);
      for (const each of looks) {
        if (each.status === "fulfilled") continue;
        log.warn("what alerts are made of cannot be read", { error: String(each.reason) });
      }
    };
    let looking: Promise<void> | undefined;
    const timer = setInterval(() => {
      looking ??= look().finally(() => looking = undefined);
    }, lookMs);
    Deno.unrefTimer(timer);
    return {
      onFinish(x, outcome) {
        providers.record(x);
        rate.record(outcome);
        credit.record(x, outcome);
      },
      routes(app: Hono) {
        readiness = new Readiness(app, board);
      },
      async dispose() {
        clearInterval(timer);
        providers.close();
        await looking;
        await board.flush();
        await Promise.all(deliveries.map((each) => each.close()));
      },
    };
  },
});
