/**
 * Names the targets of a request: the model it asks for, then its list of fallbacks, without those
 * that its key may not use.
 *
 * @module
 */
import { definePlugin, setting } from "xrouter/plugin";
import { z } from "zod";
import { resolveAllowed } from "../core/allowed_models.ts";

const whole = (least: number) =>
  z.coerce.number({ error: "must be a number" }).int({ error: "must be a whole number" })
    .min(least, { error: `must be at least ${least}` });

export default definePlugin({
  name: "route",
  requires: ["caller"],
  config: z.strictObject({
    attempts: setting(
      "XROUTER_ATTEMPTS",
      whole(1).default(4),
      "Tries over all targets of a request together",
    ),
    retries: setting(
      "XROUTER_RETRIES",
      whole(0).default(1),
      "Further tries of one target, where the error allows it",
    ),
    firstByteMs: setting(
      "XROUTER_FIRST_BYTE_MS",
      whole(1).default(10_000),
      "Milliseconds until the first byte of a stream, connecting included",
    ),
    firstTokenMs: setting(
      "XROUTER_FIRST_TOKEN_MS",
      whole(1).default(10_000),
      "Milliseconds until the first token of a stream",
    ),
    lastMs: setting(
      "XROUTER_LAST_MS",
      whole(1).default(60_000),
      "The same two for the last target that is left: nobody else could be asked instead",
    ),
    idleMs: setting(
      "XROUTER_IDLE_MS",
      whole(1).default(20_000),
      "Milliseconds of silence between two chunks of a stream",
    ),
    wholeMs: setting(
      "XROUTER_WHOLE_MS",
      whole(1).default(120_000),
      "Milliseconds until an answer that is no stream: it comes all at once",
    ),
    streamMs: setting(
      "XROUTER_STREAM_MS",
      whole(1).default(600_000),
      "Milliseconds of one stream, from its call to its end",
    ),
    totalMs: setting(
      "XROUTER_TOTAL_MS",
      whole(1).default(600_000),
      "Milliseconds of a whole exchange, all tries together",
    ),
  }),
  setup(config, { catalog }) {
    const { attempts, retries, totalMs: time } = config;
    const timeouts = {
      firstByte: config.firstByteMs,
      firstToken: config.firstTokenMs,
      last: config.lastMs,
      idle: config.idleMs,
      whole: config.wholeMs,
      total: config.streamMs,
    };
    return {
      async onRoute(x) {
        const { model, models } = x.body;
        const names = [model, ...models ?? []];
        const targets = await resolveAllowed(catalog, names, x.state.caller);
        return { targets, attempts, retries, time, timeouts, onBreak: "error" };
      },
    };
  },
});
