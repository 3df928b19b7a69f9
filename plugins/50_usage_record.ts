/**
 * Keeps the ledger: holds what a request may cost before a provider is asked, and settles it with one
 * row when it is over, whatever happened.
 *
 * @module
 */
import { type Attempt, definePlugin, type Exchange, RouterError, setting } from "xrouter/plugin";
import { z } from "zod";
import { priceIn } from "../core/ledger/charge.ts";
import { DailyTags } from "../core/ledger/daily_tags.ts";
import { keepCurrency } from "../core/ledger/currency.ts";
import { affordableOutput, amountOf, type Bounds, boundsOf } from "../core/ledger/hold.ts";
import type { Hold } from "../core/ledger/hold_writer.ts";
import { Ledger } from "../core/ledger/ledger.ts";
import { ProcessLock } from "../core/ledger/process_lock.ts";
import { Margins } from "../core/ledger/margins.ts";
import { type Cap, overCap } from "../core/ledger/refusal.ts";
import type { Price } from "../core/prices/price.ts";
import { retryWhileBusy } from "../core/store/database.ts";
import type { ApiKey } from "../core/store/keys.ts";

/** The most characters of a tag: each tag has totals of its own. */
const maxTag = 64;

/** What is remembered of an exchange between its hold and its end. */
interface Held {
  /** Settles when the last hold is written or refused. */
  written: Promise<void>;
  /** What is held, and for which target. */
  hold: Hold;
  /** Output tokens that the answer was cut to, as far as the account could pay. */
  maxTokens?: number;
}

/** Holds and settles the exchanges of one program. */
class Keeper {
  readonly #ledger: Ledger;
  readonly #margins: Margins;
  readonly #currency: string;
  readonly #unpriced: "record" | "refuse";
  readonly #tags = new DailyTags();
  /** No WeakMap: the garbage collector would go through it again and again. Each exchange ends. */
  readonly #held = new Map<Exchange, Held>();

  constructor(
    ledger: Ledger,
    margins: Margins,
    { currency, unpriced }: { currency: string; unpriced: "record" | "refuse" },
  ) {
    this.#ledger = ledger;
    this.#margins = margins;
    this.#currency = currency;
    this.#unpriced = unpriced;
  }

  /** @throws {RouterError} when the request may not cost what it may cost. */
  async hold(x: Exchange, attempt: Attempt): Promise<void> {
    const price = priceIn(this.#currency, attempt.target);
    if (price === undefined && this.#unpriced === "refuse") throw unpriced(attempt, this.#currency);
    const before = this.#held.get(x);
    if (before === undefined) return await this.#open(x, attempt, price);
    await before.written;
    if (before.maxTokens !== undefined) attempt.body.max_tokens = before.maxTokens;
    const { provider, model } = attempt.target;
    if (before.hold.provider === provider && before.hold.model === model) return;
    const { hold: next, output } = this.#plan(x, attempt, price);
    // Less is never held than before: another try may have cost something too.
    const hold = { ...next, amount: Math.max(before.hold.amount, next.amount) };
    await this.#ledger.move(hold);
    before.hold = hold;
    if (output !== undefined) cut(x, attempt, before, output);
  }

  async #open(x: Exchange, attempt: Attempt, price: Price | undefined): Promise<void> {
    const plan = this.#plan(x, attempt, price);
    let { output } = plan;
    let { amount } = plan.hold;
    const shrink = (room: number) => {
      const bounds = this.#boundsOf(x, attempt);
      const smaller = price && affordableOutput(bounds, price, room);
      if (smaller === undefined) return undefined;
      output = smaller;
      return amount = amountOf({ ...bounds, output: smaller * bounds.choices }, price!);
    };
    const written = this.#ledger.hold(plan.hold, () => x.producedTokens(), shrink);
    const held: Held = { written, hold: plan.hold };
    this.#held.set(x, held);
    try {
      await written;
    } catch (error) {
      // The next target may be cheaper.
      this.#held.delete(x);
      throw error;
    }
    held.hold = { ...plan.hold, amount };
    if (output !== undefined) cut(x, attempt, held, output);
  }

  /**
   * What to hold, and to how many output tokens of each alternative the answer must be cut.
   *
   * @throws {RouterError} `insufficient_credits` when the client asks for more than a request of this
   * key may cost.
   */
  #plan(x: Exchange, attempt: Attempt, price: Price | undefined): { hold: Hold; output?: number } {
    const bounds = this.#boundsOf(x, attempt);
    const { caller } = x.state;
    if (price === undefined) return { hold: this.#holdOf(x, attempt, price, 0) };
    const amount = amountOf(bounds, price);
    const cap = capOf(caller);
    if (cap !== undefined && amount > cap.amount) {
      const output = affordableOutput(bounds, price, cap.amount);
      if (output === undefined) throw overCap(cap, amount, this.#currency);
      return { hold: this.#holdOf(x, attempt, price, cap.amount), output };
    }
    const hold = this.#holdOf(x, attempt, price, amount);
    // What nothing else bounds, the vendor has to be told: a hold that it passes would be worth nothing.
    return bounds.assumed && isBounded(caller)
      ? { hold, output: bounds.output / bounds.choices }
      : { hold };
  }

  #boundsOf(x: Exchange, { body, target }: Attempt): Bounds {
    const { exactInput, inputTokens = 0 } = x.state;
    return exactInput === undefined
      ? boundsOf(body, target, inputTokens, this.#margins.of(target))
      : boundsOf(body, target, exactInput, 1);
  }

  #holdOf(x: Exchange, { target }: Attempt, price: Price | undefined, amount: number): Hold {
    const { caller, inputTokens = 0, exactInput = inputTokens } = x.state;
    return {
      requestId: x.id,
      keyId: caller?.id ?? null,
      owner: caller?.owner ?? null,
      amount,
      openedAt: x.startedAt,
      provider: target.provider,
      model: target.model,
      modelAsked: x.body.model,
      tag: this.#tagOf(x) ?? null,
      stream: x.body.stream === true,
      inputTokens: exactInput,
      price,
    };
  }

  /** The client's tag, where it is one; nobody's totals may have more of them than can be read. */
  #tagOf(x: Exchange): string | undefined {
    const tag = x.headers.get("x-xrouter-tag");
    if (tag === null || !isTag(tag)) return undefined;
    return this.#tags.admits(x.state.caller?.id ?? "", tag, x.startedAt) ? tag : undefined;
  }

  /** Takes what became of an exchange. */
  settle(x: Exchange, outcome: Parameters<Ledger["settle"]>[0]["outcome"]): void {
    const { caller, inputTokens } = x.state;
    const { usage, target } = outcome;
    const held = this.#held.get(x);
    this.#held.delete(x);
    this.#ledger.settle({
      requestId: x.id,
      createdAt: x.startedAt,
      keyId: caller?.id,
      owner: caller?.owner ?? undefined,
      tag: held === undefined ? this.#tagOf(x) : held.hold.tag ?? undefined,
      modelAsked: x.parsedBody?.model,
      stream: x.parsedBody?.stream === true,
      countedTokens: inputTokens,
      attempts: x.attempts.length,
      price: priceIn(this.#currency, target),
      cost: outcome.cost,
      outcome,
    });
    if (target === undefined || usage === undefined || usage.estimated) return;
    if (inputTokens !== undefined) this.#margins.learn(target, inputTokens, usage.input);
  }
}

/** Lets an answer have only so many tokens, and says so. */
function cut(x: Exchange, attempt: Attempt, held: Held, output: number): void {
  held.maxTokens = attempt.body.max_tokens = output;
  x.replyHeaders["x-xrouter-max-tokens"] = String(output);
}

/** Whether what the key may spend has an end. */
function isBounded(caller: ApiKey | undefined): boolean {
  return [caller?.limits, caller?.ownerLimits].some((each) => each?.prepaid || each?.limited);
}

/** The least of what the key and its owner let be held for one request. */
function capOf(caller: ApiKey | undefined): Cap | undefined {
  const caps: Cap[] = [];
  if (caller?.limits.holdCap != null) caps.push({ scope: "key", amount: caller.limits.holdCap });
  const shared = caller?.ownerLimits?.holdCap;
  if (shared != null) caps.push({ scope: "owner", amount: shared });
  return caps.sort((a, b) => a.amount - b.amount)[0];
}

function unpriced({ target }: Attempt, currency: string): RouterError {
  return new RouterError(
    "no_route",
    `"${target.provider}/${target.model}" has no price in ${currency}. Choose another model, or ` +
      "let the operator set a price",
    { param: "model" },
  );
}

function isTag(text: string): boolean {
  return text.length <= maxTag && !/[^\x20-\x7e]/.test(text);
}

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
      z.coerce.number({ error: "must be a number" }).min(5, { error: "must be at least 5" })
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
      ready() {
        if (!ledger.failing) return;
        throw new Error(`The ledger cannot be written; ${ledger.pending} entries wait`);
      },
      dispose: () => ledger.close(),
    };
  },
});
