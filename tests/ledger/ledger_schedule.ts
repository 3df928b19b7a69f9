/**
 * Random schedules of what may happen to a ledger that two processes share.
 *
 * @module
 */
import fc from "fast-check";

/** What a schedule holds for. Keys 0 and 1 have one owner, key 2 has none. */
export interface HoldPlan {
  readonly key: number;
  readonly amount: number;
  readonly priced: boolean;
}

/** One step. `which` picks one of the exchanges under way, `process` one of two processes. */
export type Step =
  /** `least`: the least amount that the request can be cut to; absent where it cannot be cut. */
  | { do: "hold"; process: number; plan: HoldPlan; least: number | undefined }
  /** Several at once, which are written together. */
  | { do: "burst"; plans: readonly { process: number; plan: HoldPlan }[] }
  /**
   * A further try, which may be cut to `least`. `ended`: what the one before has cost, which nobody
   * used; absent where that one goes on beside it. `again`: what was written is written once more.
   */
  | {
    do: "move";
    which: number;
    amount: number;
    priced: boolean;
    least: number | undefined;
    ended: number | null | undefined;
    again: boolean;
  }
  /** A look renews leases and writes checkpoints. */
  | { do: "look"; process: number; outputTokens: number }
  /** `tries`: what those have cost that ran beside the last, as far as they cost something. */
  | {
    do: "settle";
    which: number;
    cost: number | null;
    tries: readonly (number | null)[];
    twice: boolean;
  }
  /** A request that ends without a hold. */
  | { do: "refuse"; process: number; key: number }
  /** A hold while the end of another is not written yet. */
  | { do: "swap"; which: number; cost: number; plan: HoldPlan }
  /** A process dies; `settling`: one of its exchanges had ended, and that was not written yet. */
  | { do: "crash"; process: number; settling: number | undefined }
  /** What dead processes left open is settled by a live one. */
  | { do: "recover"; process: number }
  /** An exchange is settled by the other process although its own lives: it was stopped too long. */
  | { do: "presume dead"; which: number }
  | { do: "credit"; process: number; account: number; amount: number }
  | { do: "limit"; account: number; amount: number | null }
  | { do: "parallel"; account: number; count: number | null };

/** How the accounts begin (three keys', then the owner's), and what happens to them. */
export interface Schedule {
  readonly credits: readonly (number | undefined)[];
  readonly limits: readonly (number | null)[];
  readonly steps: readonly Step[];
}

const absent = { nil: undefined, freq: 2 };
const process = fc.nat(1);
const key = fc.nat(2);
const account = fc.nat(3);
const which = fc.nat(20);
const amount = fc.oneof(fc.nat(40), fc.nat(400));
const plan = fc.record({ key, amount, priced: fc.integer({ min: 0, max: 9 }).map((n) => n > 0) });

const step = <Name extends Step["do"]>(
  name: Name,
  fields: { [F in keyof Omit<Extract<Step, { do: Name }>, "do">]: fc.Arbitrary<unknown> },
): fc.Arbitrary<Step> =>
  fc.record({ do: fc.constant(name), ...fields }) as fc.Arbitrary<unknown> as fc.Arbitrary<Step>;

const steps = fc.oneof(
  {
    weight: 6,
    arbitrary: step("hold", { process, plan, least: fc.option(fc.nat(60), absent) }),
  },
  {
    weight: 2,
    arbitrary: step("burst", {
      plans: fc.array(fc.record({ process, plan }), { minLength: 2, maxLength: 6 }),
    }),
  },
  {
    weight: 7,
    arbitrary: step("move", {
      which,
      amount,
      priced: fc.integer({ min: 0, max: 5 }).map((n) => n > 0),
      least: fc.option(fc.nat(60), absent),
      ended: fc.option(fc.option(amount, { nil: null, freq: 8 }), absent),
      again: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: step("look", { process, outputTokens: fc.nat(300) }) },
  {
    weight: 5,
    arbitrary: step("settle", {
      which,
      cost: fc.option(amount, { nil: null, freq: 8 }),
      tries: fc.array(fc.option(amount, { nil: null, freq: 8 }), { maxLength: 3 }),
      twice: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: step("refuse", { process, key }) },
  { weight: 2, arbitrary: step("swap", { which, cost: amount, plan }) },
  { weight: 1, arbitrary: step("crash", { process, settling: fc.option(which, absent) }) },
  { weight: 1, arbitrary: step("recover", { process }) },
  { weight: 1, arbitrary: step("presume dead", { which }) },
  {
    weight: 2,
    arbitrary: step("credit", { process, account, amount: fc.integer({ min: -300, max: 600 }) }),
  },
  { weight: 2, arbitrary: step("limit", { account, amount: fc.option(fc.nat(800)) }) },
  {
    weight: 1,
    arbitrary: step("parallel", { account, count: fc.option(fc.integer({ min: 1, max: 3 })) }),
  },
);

/** Any schedule. */
export const schedules: fc.Arbitrary<Schedule> = fc.record({
  credits: forEachAccount(fc.option(fc.integer({ min: 1, max: 600 }), absent)),
  limits: forEachAccount(fc.option(fc.nat(800), { freq: 1 })),
  steps: fc.array(steps, { minLength: 4, maxLength: 20, size: "max" }),
});

function forEachAccount<Value>(value: fc.Arbitrary<Value>): fc.Arbitrary<Value[]> {
  return fc.array(value, { minLength: 4, maxLength: 4 });
}
