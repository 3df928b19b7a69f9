/**
 * The tries of one request in a schedule: those that ended with a cost, and those that run together.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { RouterError } from "../../core/errors.ts";
import type { Entry } from "../../core/ledger/entry.ts";
import type { Hold } from "../../core/ledger/hold_writer.ts";
import type { LedgerModel, ModelAccount } from "./ledger_model.ts";
import type { LedgerProcess } from "./ledger_processes.ts";
import type { Step } from "./ledger_schedule.ts";
import { assertRefusal, entryOf, price, pricePerToken } from "./ledger_state.ts";

/** An exchange and the process that leads it. */
export interface Running {
  readonly hold: Hold;
  readonly accounts: readonly ModelAccount[];
  readonly process: LedgerProcess;
  /** Told to the next checkpoint. */
  outputTokens: number;
  /** How many tries there were, the last of them the one that the hold names. */
  tries: number;
  /** Those that run, and whether they have a price. */
  going: { number: number; priced: boolean }[];
  /** Entries of those that are over. */
  written: Entry[];
}

/** The try's target. */
export function modelOf(number: number): string {
  return `m${number}`;
}

/** Moves a hold to a further try, in the ledger and in its model. */
export async function moveTry(
  running: Running,
  model: LedgerModel,
  { amount, priced, least, ended, again }: Extract<Step, { do: "move" }>,
): Promise<void> {
  const { hold, process: { ledger }, accounts } = running;
  const id = hold.requestId;
  const over = ended === undefined ? undefined : running.going.pop();
  const due = over === undefined ? [] : [entryOfTrial(hold, over.number, ended!)];
  const tries = again ? [...running.written, ...due] : due;
  running.written.push(...due);
  const number = ++running.tries;
  const beside = running.going.map(({ number, priced }) => ({
    number,
    provider: hold.provider,
    model: modelOf(number),
    inputTokens: hold.inputTokens,
    price: priced ? price : undefined,
  }));
  const next = { ...hold, amount, model: modelOf(number), price: priced ? price : undefined };
  const shrink = (room: number) => least !== undefined && room >= least ? room : undefined;
  const error = await ledger.move({ ...next, beside }, shrink, tries)
    .then(() => undefined, (error) => error);
  // It is written with the move, and whether or not that fits.
  await ledger.flush();
  if (over !== undefined) model.settleTry(id, over.number, accounts, ended!);
  running.outputTokens = 0;
  if (!model.holds.has(id)) {
    // It was presumed dead: without a hold no provider may be asked again.
    assert(error instanceof RouterError, "a hold that is gone was moved");
    return assertEquals(error.code, "unavailable");
  }
  const held = {
    amount,
    price: priced ? pricePerToken : undefined,
    number,
    inputTokens: hold.inputTokens,
    beside: running.going.map(({ number, priced }) => (
      { number, cost: priced ? hold.inputTokens * pricePerToken : null }
    )),
  };
  let refusal = model.move(id, held);
  if (refusal !== undefined && least !== undefined && priced) {
    const room = model.roomOf(id);
    if (room >= least && room < amount) refusal = model.move(id, { ...held, amount: room });
  }
  assertRefusal(error, refusal);
  if (error === undefined) running.going.push({ number, priced });
  else if (over === undefined) running.outputTokens = model.holds.get(id)!.outputTokens;
}

/** Ends an exchange, some of its tries with a cost: in the ledger, and later in its model. */
export function endTries(
  running: Running,
  model: LedgerModel,
  costs: readonly (number | null)[],
): { entries: Entry[]; settle: () => void } {
  const { hold, accounts } = running;
  // The last one's answer is the request's.
  const paid = running.going.slice(0, -1).flatMap(({ number }, i) =>
    costs[i] === undefined ? [] : [{ number, cost: costs[i] }]
  );
  return {
    entries: paid.map(({ number, cost }) => entryOfTrial(hold, number, cost)),
    settle() {
      for (const { number, cost } of paid) {
        model.settleTry(hold.requestId, number, accounts, cost);
      }
    },
  };
}

function entryOfTrial(hold: Hold, number: number, cost: number | null): Entry {
  const entry = entryOf({ ...hold, model: modelOf(number) }, cost);
  return { ...entry, requestId: `${hold.requestId}.${number}`, tryOf: hold.requestId };
}
