/**
 * `deno task torture`: the long form of the ledger's tests.
 *
 * Options: `--rounds N` (5), or `--seconds N` to begin no further round after that time. Prints what
 * it has done, and exits with 1 at the first violation. `SEED` repeats a run.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { seededRandom } from "../support/random.ts";
import { runAborts } from "./aborts.ts";
import { gone, locked, readOnly, runFault, runFullDisk } from "./faults.ts";
import { runKills } from "./kills.ts";
import { runSchedules } from "./ledger_property.ts";
import { raceOneProcess, raceProcesses } from "./race.ts";

/** What one round does. */
const round = { schedules: 1_000, kills: 10, streams: 200, calls: 200 };

const { values } = parseArgs({
  args: Deno.args,
  options: { rounds: { type: "string" }, seconds: { type: "string" } },
});
const seconds = values.seconds === undefined ? Infinity : whole("seconds", values.seconds);
const rounds = values.rounds === undefined
  ? values.seconds === undefined ? 5 : Infinity
  : whole("rounds", values.rounds);

const totals = new Map<string, number>();
const until = performance.now() + seconds * 1_000;
let failed = false;
try {
  for (let done = 0; done < rounds && performance.now() < until; done++) {
    await runRound();
    add({ rounds: 1 });
  }
} catch (error) {
  failed = true;
  console.error(error);
}
for (const [name, count] of totals) console.log(`${String(count).padStart(8)} ${name}`);
console.log(failed ? "A rule of the ledger was broken" : "No rule of the ledger was broken");
Deno.exit(failed ? 1 : 0);

async function runRound(): Promise<void> {
  await runSchedules(round.schedules);
  add({ "random schedules": round.schedules });
  add({ "racing calls": await raceOneProcess(round.calls) + await raceProcesses(4, round.calls) });
  const random = seededRandom();
  const { kills, requests, interrupted, checkpoints } = await runKills(round.kills, 5, random);
  add({
    kills,
    "requests under kills": requests,
    "of them interrupted": interrupted,
    "of those with a checkpoint": checkpoints,
  });
  for (const onAbort of ["drain", "cancel"] as const) {
    const { streams, reported, counted, empty } = await runAborts(round.streams, onAbort, random);
    add({
      "streams cut by clients": streams,
      "of them charged as reported": reported,
      "of them charged as counted": counted,
      "of them cut before the first word": empty,
    });
  }
  await runFault(locked);
  await runFault(readOnly);
  await runFault(gone);
  await runFullDisk();
  add({ faults: 4 });
}

function add(counts: Readonly<Record<string, number>>): void {
  for (const [name, count] of Object.entries(counts)) {
    totals.set(name, (totals.get(name) ?? 0) + count);
  }
}

function whole(name: string, text: string): number {
  if (/^[1-9]\d*$/.test(text)) return Number(text);
  console.error(`--${name} must be a whole number above 0, not "${text}"`);
  Deno.exit(2);
}
