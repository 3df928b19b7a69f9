/**
 * Keeps the ledger: holds what a request may cost before a provider is asked, and settles it when it
 * is over, whatever happened: with one row for the request, and one for each other try that cost
 * something.
 *
 * @module
 */
import { definePlugin, RouterError, setting } from "xrouter/plugin";
import { z } from "zod";
import { keepCurrency } from "../core/ledger/currency.ts";
import { isTag, maxTag } from "../core/ledger/daily_tags.ts";
import { Keeper } from "../core/ledger/keeper.ts";
import { Ledger } from "../core/ledger/ledger.ts";
import { ProcessLock } from "../core/ledger/process_lock.ts";
import { Margins } from "../core/ledger/margins.ts";
import { retryWhileBusy } from "../core/store/database.ts";

export default definePlugin({
  name: "usage-record",
  config: z.strictObject({
    unpriced: setting(
      "XROUTER_UNPRICED",
      z.enum(["record", "refuse"], { error: 'must be "record" or "refuse"' }).default("record"),
      "Models without a price: record their cost as unknown, or refuse them. Keys with credit or a limit never use them",
    ),
    leaseSeconds: setting(
      "XROUTER_LEASE_SECONDS",
      z.number({ error: "must be a number" }).min(5, { error: "must be at least 5" })
        .default(10),
      "Seconds after which requests of a process that was not heard of are settled by another",
    ),
  }),
  async setup({ unpriced, leaseSeconds }, { database, log, currency }) {
    const margins = new Margins();
    await margins.load(database);
    await keepCurrency(database, currency);
    const process = await ProcessLock.take(database, log);
    const ledger = new Ledger({ database, log, currency, leaseMs: leaseSeconds * 1000, process });
    try {
      await retryWhileBusy(() => ledger.recover());
    } catch (error) {
      await ledger.close();
      throw error;
    }
    const keeper = new Keeper(ledger, margins, { currency, unpriced });
    return {
      onRequest(x) {
        const tag = x.headers.get("x-xrouter-tag");
        if (tag === null || isTag(tag)) return;
        throw new RouterError(
          "invalid_request",
          `"x-xrouter-tag" must have at most ${maxTag} characters, all of them ASCII`,
          { param: "x-xrouter-tag" },
        );
      },
      onAttempt: (x, attempt) => keeper.hold(x, attempt),
      onFinish: (x, outcome) => keeper.settle(x, outcome),
      estimate: (x, attempt) => keeper.estimate(x, attempt),
      ready() {
        if (!ledger.failing) return;
        throw new Error(`The ledger cannot be written; ${ledger.pending} entries wait`);
      },
      dispose: () => ledger.close(),
    };
  },
});
