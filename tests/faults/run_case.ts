/**
 * Runs one case against the real program, and collects the evidence.
 *
 * @module
 */
import { setTimeout as delay } from "node:timers/promises";
import { call, type CallToMake, type Seen } from "./client.ts";
import { type FaultCase, nameOf, type Repeat } from "./cases.ts";
import type { Evidence } from "./judge.ts";
import { startSystem } from "./system.ts";
import { FaultVendor } from "./vendor.ts";

/** Milliseconds after which a call is taken for hanging where its case does not say. */
const patience = 90_000;

/** Milliseconds that a call may take at any pace: a busy machine is no fault. */
const leastPatience = 30_000;

/** A plugin that moves the program's clock when the twentieth chunk of an answer arrives. */
function clockPlugin(ms: number): string {
  return `import { definePlugin } from "xrouter/plugin";

let chunks = 0;
const real = Date.now;

export default definePlugin({
  name: "clock-jump",
  setup: () => ({
    onChunk() {
      if (++chunks === 20) Date.now = () => real() + ${ms};
    },
  }),
});
`;
}

/** Makes the calls, and further ones until the failing provider answers or its time is up. */
async function repeat(
  make: () => Promise<Seen>,
  { calls, everyMs, outageMs, backMs }: Repeat,
  pace: number,
): Promise<Seen[]> {
  const running: Promise<Seen>[] = [];
  const start = performance.now();
  let isBack = false;
  const look = (seen: Seen) => {
    isBack ||= seen.model?.startsWith("bad") ?? false;
    return seen;
  };
  const end = start + outageMs * pace + backMs;
  while (running.length < calls || (!isBack && performance.now() < end)) {
    running.push(make().then(look));
    await delay(Math.max(0, start + running.length * everyMs * pace - performance.now()));
  }
  return await Promise.all(running);
}

/**
 * Runs a case. The program, its database and its vendors are its own.
 *
 * @param wantedPace What every time of the case and of the program is multiplied with.
 */
export async function runCase(one: FaultCase, wantedPace: number): Promise<Evidence> {
  const pace = wantedPace === 1 ? 1 : one.repeat?.shortPace ?? wantedPace;
  await using bad = await FaultVendor.start("bad", 20);
  await using good = await FaultVendor.start("good", 30);
  const addresses = {
    lab: bad.url,
    tls: bad.url.replace("http:", "https:"),
    nowhere: "http://xrouter-lab.invalid/v1",
  };
  await using system = await startSystem({
    vendors: { bad: addresses[one.address ?? "lab"], good: good.url },
    pace,
    plugin: one.clockJump === undefined ? undefined : clockPlugin(one.clockJump),
  });
  const run = nameOf(one);
  const wanted: CallToMake = {
    models: [`bad/${one.model}`, `good/${one.fallback ?? "well"}`],
    lab: { run, pace },
    stream: one.stream ?? true,
    onBreak: one.onBreak,
    patienceMs: Math.max(leastPatience, (one.patienceMs ?? patience) * pace),
  };
  const make = () => call(system.url, system.secret, wanted);
  const seen = one.repeat === undefined ? [await make()] : await repeat(make, one.repeat, pace);
  const healthy = await call(system.url, system.secret, {
    // Where the first provider cannot be reached at all, nothing of it is healthy.
    models: one.address === undefined ? ["bad/well", "good/well"] : ["good/well"],
    lab: { run: `${run} afterwards`, pace },
    stream: true,
    patienceMs: leastPatience,
  });
  const { rows, ...ledger } = await system.ledger();
  return {
    seen,
    calls: [...bad.callsOf(run), ...bad.callsOf(""), ...good.callsOf(run)]
      .filter(({ at }) => at < healthy.startedAt)
      .toSorted((a, b) => a.at - b.at),
    rows: rows.filter(({ tag }) => tag === run),
    ledger,
    healthy,
    pace,
  };
}
