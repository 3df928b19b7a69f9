/**
 * Hands an answer over to its client, and says how that ended.
 *
 * @module
 */
import type { Answer } from "./answer.ts";
import { isChat } from "./body.ts";
import type { Chunk } from "./chunk.ts";
import { Deadline } from "./deadline.ts";
import type { RouterError } from "./errors.ts";
import type { Flight } from "./flight.ts";
import { defaultEncoding } from "./input_tokens.ts";
import { withCost } from "./ledger/charge.ts";
import type { Outcome, Usage } from "./plugin.ts";
import { Relay, type RelayOptions } from "./relay.ts";
import { checkReplyHeaders, streamResponse, wholeResponse } from "./response.ts";
import { Tally } from "./tally.ts";
import { Upstream } from "./upstream.ts";
import { toWire } from "./usage_report.ts";

/** How an exchange ended, as far as its steps know. */
export type Ending = Omit<Outcome, "durationMs" | "target" | "cost" | "error"> & {
  error?: RouterError | undefined;
};

/** What handing over needs. */
export interface HandOverOptions {
  /** Milliseconds for which an answer is read on after its client has gone. */
  readonly drainMs: number;
  /** Milliseconds of silence after which a stream gets a comment. */
  readonly keepAliveMs: number;
  /** ISO 4217 code of the accounts. */
  readonly currency: string;
  /** Takes how it ended, once. */
  readonly settle: (flight: Flight, end: Ending, usage: () => Usage | Promise<Usage>) => void;
}

/** Hands a plugin's answer over: it costs nothing. */
export function handOverOwn(
  flight: Flight,
  chunk: Chunk,
  options: HandOverOptions,
): Promise<Response> {
  checkReplyHeaders(flight.x);
  const price = { currency: options.currency, input: 0, output: 0 };
  const tally = new Tally(defaultEncoding);
  const usage = () => tally.usage(() => flight.inputOf());
  const part = {
    upstream: Upstream.whole(chunk, flight.streamed, (each) => tally.add(each)),
    tally,
    deadline: new Deadline(Infinity),
    idleMs: Infinity,
    onAbort: "drain",
  } as const;
  return send(
    flight,
    {
      part,
      usage: async () => withCost(tally.reported ?? toWire(await usage(), true), price),
      priced: (report) => withCost(report, price),
    },
    options,
    (end) => options.settle(flight, end, usage),
  );
}

/** Hands the answer of providers over. */
export function handOver(
  flight: Flight,
  answer: Answer,
  options: HandOverOptions,
): Promise<Response> {
  const { x } = flight;
  const { said } = answer;
  try {
    // Now, while nothing has begun.
    checkReplyHeaders(x);
  } catch (error) {
    answer.discard(error as RouterError);
    throw error;
  }
  return send(
    flight,
    {
      part: answer.begun,
      usage: () => answer.report(),
      priced: (report) => answer.priced(report),
      goOn: said && ((error) => answer.goOn(error)),
      onSaid: said && ((chunk) => said.add(chunk)),
    },
    options,
    (end) => {
      const { over, tally: { model } } = answer.begun;
      over(end.error);
      const served = model !== undefined && { servedModel: model };
      options.settle(flight, { ...end, ...served }, () => answer.usage());
    },
  );
}

async function send(
  flight: Flight,
  answer: Pick<RelayOptions, "part" | "usage" | "priced" | "goOn" | "onSaid">,
  { drainMs, keepAliveMs }: HandOverOptions,
  settle: (end: Ending) => void,
): Promise<Response> {
  const { x, streamed, onGone, onStop, generation: { hooks } } = flight;
  const firstChunkMs = performance.now() - x.startedTick;
  const relay = new Relay({
    ...answer,
    onChunk: hooks.seesChunks && isChat(x.body) ? (chunk) => hooks.chunk(x, chunk) : undefined,
    usageWanted: x.body.stream_options?.include_usage === true,
    drainMs,
    keepAliveMs,
    settle: (end) => {
      const unsent = end.state === "aborted" && (unseen || !streamed);
      const status = unsent ? 499 : streamed ? 200 : end.error?.status ?? 200;
      settle({ ...end, status, firstChunkMs });
    },
  });
  flight.relayed = true;
  // Others may be asked to go on: they are ended, too.
  const stop = (reason: RouterError) => {
    onStop?.(reason);
    relay.stop(reason);
  };
  const leave = () => {
    onGone?.();
    relay.clientGone();
  };
  flight.onStop = stop;
  flight.onGone = leave;
  // The client may have left while the first chunk was awaited.
  const unseen = flight.gone;
  if (unseen) relay.clientGone();
  return streamed ? streamResponse(x, relay.stream(), true) : wholeResponse(x, await relay.whole());
}
