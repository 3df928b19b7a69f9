/**
 * Observes how providers and their models do, from the tries made of them and from a probe of those
 * that nobody asks; tells it at `GET /v1/providers/status` and keeps its history.
 *
 * @module
 */
import { zValidator } from "@hono/zod-validator";
import { Hono } from "hono";
import { type CallerEnv, definePlugin, RouterError, setting } from "xrouter/plugin";
import { z } from "zod";
import { refuseInvalid } from "../../core/refuse_invalid.ts";
import { wholeNumber } from "../../core/settings.ts";
import { StatusBoard } from "./board.ts";
import { StatusHistory } from "./history.ts";
import { statusQuery } from "./query.ts";
import { reportHistory, reportStatus } from "./report.ts";

/** Milliseconds between two looks at the clock, and how many of them are between two snapshots. */
const tickMs = 1_000;
const ticksOfSnapshot = 60;

/** How many snapshots are between two times at which old rows are dropped. */
const snapshotsOfDrop = 60;

const dayMs = 86_400_000;
const standardLimit = 100;

const number = z.number({ error: "must be a number" });
const share = number.positive({ error: "must be above 0" }).max(1, { error: "must be at most 1" });

export default definePlugin({
  name: "provider-status",
  requires: ["caller"],
  onError: "skip",
  config: z.strictObject({
    windowSeconds: setting(
      "XROUTER_STATUS_WINDOW_SECONDS",
      wholeNumber(10).default(300),
      "Seconds of traffic that a provider's status goes by",
    ),
    minAttempts: setting(
      "XROUTER_STATUS_MIN_ATTEMPTS",
      wholeNumber(1).default(5),
      "Tries in these seconds that it takes to call a provider degraded or down",
    ),
    degradedRate: setting(
      "XROUTER_STATUS_DEGRADED_RATE",
      share.default(0.1),
      "Share of failed tries from which on a provider is degraded",
    ),
    downRate: setting(
      "XROUTER_STATUS_DOWN_RATE",
      share.default(0.5),
      "Share of failed tries, busy answers left out, from which on a provider is down",
    ),
    probeSeconds: setting(
      "XROUTER_STATUS_PROBE_SECONDS",
      wholeNumber(0).default(60),
      "Seconds without traffic after which a provider is asked for its models; 0 for never",
    ),
    keepDays: setting(
      "XROUTER_STATUS_KEEP_DAYS",
      wholeNumber(1).default(30),
      "Days for which the history of status is kept",
    ),
  }),
  setup({ windowSeconds, probeSeconds, keepDays, ...thresholds }, { catalog, database, log }) {
    const windowMs = windowSeconds * 1000;
    const history = new StatusHistory(database, log);
    const board = new StatusBoard({
      ...thresholds,
      catalog,
      windowMs,
      probeMs: probeSeconds * 1000,
      write: (row) => history.add(row),
    });
    const unsubscribe = catalog.circuits.subscribe((change) => {
      const { provider, account, model, state, before, reason, retryAfterMs } = change;
      const facts = { provider, account, model, reason };
      if (state === "closed") log.info("a circuit closed: the model is asked again", facts);
      else if (before === "closed") {
        const askedInMs = Math.ceil(retryAfterMs);
        log.warn("a circuit opened: the model is not asked", { ...facts, askedInMs });
      } else return;
      board.circuitChanged(change);
    });
    let ticks = 0;
    let dropping = Promise.resolve();
    const timer = setInterval(() => {
      board.tick();
      if (++ticks % ticksOfSnapshot !== 0) return;
      board.snapshot();
      if (ticks / ticksOfSnapshot % snapshotsOfDrop !== 1) return;
      dropping = dropping.then(() => history.dropBefore(Date.now() - keepDays * dayMs));
    }, tickMs);
    Deno.unrefTimer(timer);

    const routes = new Hono<CallerEnv>();
    routes.get("/status", zValidator("query", statusQuery, refuseInvalid), async (c) => {
      const caller = c.get("caller");
      if (caller === undefined) {
        throw new RouterError("unauthorized", "Status is told to those who send an API key");
      }
      const query = c.req.valid("query");
      const { history: since, snapshots, limit = standardLimit, ...filter } = query;
      if (since === undefined) {
        return c.json(reportStatus(board.observe(), catalog, windowMs, caller.admin));
      }
      if (!caller.admin) {
        throw new RouterError("forbidden", '"history" is for admin keys only; leave it out', {
          param: "history",
        });
      }
      const page = { ...filter, since, snapshots: snapshots !== undefined, limit: limit + 1 };
      return c.json(reportHistory(await history.read(page), limit));
    });
    return {
      onFinish: (x, outcome) => board.record(x, outcome),
      routes(app) {
        app.route("/v1/providers", routes);
      },
      async dispose() {
        clearInterval(timer);
        unsubscribe();
        board.snapshot();
        await board.close();
        await dropping;
        await history.close();
      },
    };
  },
});
