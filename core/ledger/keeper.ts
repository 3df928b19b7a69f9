/**
 * Holds what exchanges may cost before a provider is asked, and settles them when they are over.
 *
 * @module
 */
import { RouterError } from "../errors.ts";
import type { Attempt, Estimate, Exchange, Outcome } from "../plugin.ts";
import type { Price } from "../prices/price.ts";
import { routeRecord } from "../routing/route_record.ts";
import type { ApiKey } from "../store/keys.ts";
import { priceIn } from "./charge.ts";
import { DailyTags, isTag } from "./daily_tags.ts";
import { affordableOutput, amountOf, type Bounds, boundsOf } from "./hold.ts";
import type { Hold } from "./hold_writer.ts";
import type { Ledger } from "./ledger.ts";
import type { Margins } from "./margins.ts";
import { askedOf, paidTries } from "./paid_tries.ts";
import { capOf, overCap } from "./refusal.ts";

/** A try, and what must be held for it as long as it runs. */
interface Plan {
  readonly attempt: Attempt;
  readonly price: Price | undefined;
  /** Input tokens as counted for its target. */
  readonly inputTokens: number;
  /** Millionths of the accounting currency. */
  need: number;
  /** Output tokens of each alternative to which the answer must be cut. */
  output?: number;
}

/** What is remembered of an exchange between its hold and its end. */
interface Held {
  /** Settles when its first hold is written or refused. */
  readonly opened: Promise<void>;
  /** Settles when the last move is written or refused: they go one after the other. */
  moved: Promise<unknown>;
  readonly tag: string | null;
  /** Tries for which it holds; those that are over since are among them until the next move. */
  running: Plan[];
  /** The last of them, if nothing was taken out of the hold since: it can be made again. */
  last: Plan | undefined;
  /** Tries whose entries are written. */
  readonly written: Set<Attempt>;
}

/** Holds and settles the exchanges of one program. */
export class Keeper {
  readonly #ledger: Ledger;
  readonly #margins: Margins;
  readonly #currency: string;
  readonly #unpriced: "record" | "refuse";
  readonly #tags = new DailyTags();
  /** No Map: its old tables would keep the exchanges (see Roster). */
  readonly #held = new WeakMap<Exchange, Held>();

  /**
   * @param options.currency ISO 4217 code of the accounts.
   * @param options.unpriced What becomes of a try whose model has no price in it.
   */
  constructor(
    ledger: Ledger,
    margins: Margins,
    options: { currency: string; unpriced: "record" | "refuse" },
  ) {
    this.#ledger = ledger;
    this.#margins = margins;
    this.#currency = options.currency;
    this.#unpriced = options.unpriced;
  }

  /** @throws {RouterError} when the request may not cost what it may cost. */
  async hold(x: Exchange, attempt: Attempt): Promise<void> {
    const price = priceIn(this.#currency, attempt.target);
    if (price === undefined && this.#unpriced === "refuse") throw unpriced(attempt, this.#currency);
    const held = this.#held.get(x);
    if (held === undefined) return await this.#open(x, attempt, price);
    await held.opened;
    const moved = held.moved.then(() => this.#move(x, attempt, price, held));
    held.moved = moved.catch(() => {});
    await moved;
  }

  async #open(x: Exchange, attempt: Attempt, price: Price | undefined): Promise<void> {
    const plan = this.#plan(x, attempt, price, 0);
    const hold = this.#holdOf(x, plan, plan.need);
    const shrink = (room: number) => this.#shrink(x, plan, room);
    const written = new Set<Attempt>();
    // Whoever settles it after a death must not charge again what has an entry.
    const opened = this.#ledger.hold(hold, () => x.producedTokens(written), shrink);
    this.#held.set(x, {
      opened,
      moved: opened,
      tag: hold.tag,
      running: [plan],
      last: plan,
      written,
    });
    try {
      await opened;
    } catch (error) {
      // The next target may be cheaper.
      this.#held.delete(x);
      throw error;
    }
    if (plan.output !== undefined) cut(x, attempt, plan.output);
  }

  /** Holds for a further try and for those that still run, and for no other. */
  async #move(
    x: Exchange,
    attempt: Attempt,
    price: Price | undefined,
    held: Held,
  ): Promise<void> {
    const { last } = held;
    const over = paidTries(x, held.tag, this.#currency, held.written);
    const running = held.running.filter(({ attempt }) => attempt.durationMs === undefined);
    if (last !== undefined && over.length + running.length === 0 && isSame(last, attempt)) {
      const plan = { ...last, attempt };
      held.running = [held.last = plan];
      if (plan.output !== undefined) cut(x, attempt, plan.output);
      return;
    }
    const others = running.reduce((sum, { need }) => sum + need, 0);
    const plan = this.#plan(x, attempt, price, others);
    const hold = {
      ...this.#holdOf(x, plan, others + plan.need, held.tag),
      beside: running.map(({ attempt: { number, target }, inputTokens, price }) => (
        { number, provider: target.provider, model: target.model, inputTokens, price }
      )),
    };
    const shrink = (room: number) => {
      const need = this.#shrink(x, plan, room - others);
      return need === undefined ? undefined : others + need;
    };
    held.running = running;
    held.last = undefined;
    // Also where the move is refused.
    for (const { attempt } of over) held.written.add(attempt);
    await this.#ledger.move(hold, shrink, over.map(({ entry }) => entry));
    held.running = [...running, plan];
    held.last = plan;
    if (plan.output === undefined) delete x.replyHeaders[cutHeader];
    else cut(x, attempt, plan.output);
  }

  /**
   * What to hold for a try beside others.
   *
   * @throws {RouterError} `insufficient_credits` when the client asks for more than a request of this
   * key may cost.
   */
  #plan(x: Exchange, attempt: Attempt, price: Price | undefined, others: number): Plan {
    const bounds = this.#boundsOf(x, attempt);
    const { caller, inputTokens = 0 } = x.state;
    const { exactInput = inputTokens, prefilled = 0 } = attempt;
    const plan = { attempt, price, inputTokens: exactInput + prefilled };
    if (price === undefined) return { ...plan, need: 0 };
    const need = amountOf(bounds, price);
    const cap = capOf(caller);
    if (cap !== undefined && others + need > cap.amount) {
      const output = affordableOutput(bounds, price, cap.amount - others);
      if (output === undefined) throw overCap(cap, others + need, this.#currency);
      return { ...plan, need: cap.amount - others, output };
    }
    // What nothing else bounds, the vendor has to be told: a hold that it passes would be worth nothing.
    return bounds.assumed && isBounded(caller)
      ? { ...plan, need, output: bounds.output / bounds.choices }
      : { ...plan, need };
  }

  /** Makes a try cost no more than `room`. @returns What it needs then; `undefined`: it cannot. */
  #shrink(x: Exchange, plan: Plan, room: number): number | undefined {
    const { attempt, price } = plan;
    const bounds = this.#boundsOf(x, attempt);
    const output = price && affordableOutput(bounds, price, room);
    if (output === undefined) return undefined;
    plan.output = output;
    return plan.need = amountOf({ ...bounds, output: output * bounds.choices }, price!);
  }

  #boundsOf(x: Exchange, { body, target, exactInput, prefilled = 0 }: Attempt): Bounds {
    const { inputTokens = 0 } = x.state;
    const counted = (exactInput ?? inputTokens) + prefilled;
    const input = exactInput === undefined ? this.#margins.expect(target, counted) : counted;
    return boundsOf(body, target, counted, input);
  }

  #holdOf(
    x: Exchange,
    { attempt: { target }, price, inputTokens }: Plan,
    amount: number,
    tag: string | null = this.#tagOf(x) ?? null,
  ): Hold {
    const { caller } = x.state;
    return {
      requestId: x.id,
      keyId: caller?.id ?? null,
      owner: caller?.owner ?? null,
      amount,
      openedAt: x.startedAt,
      provider: target.provider,
      model: target.model,
      modelAsked: x.body.model,
      tag,
      stream: x.body.stream === true,
      inputTokens,
      price,
    };
  }

  /** The client's tag, where it is one; nobody's totals may have more of them than can be read. */
  #tagOf(x: Exchange): string | undefined {
    const tag = x.headers.get("x-xrouter-tag");
    if (tag === null || !isTag(tag)) return undefined;
    return this.#tags.admits(x.state.caller?.id ?? "", tag, x.startedAt) ? tag : undefined;
  }

  /** What a try would hold, and why it would be refused. Rejects when the database does. */
  async estimate(x: Exchange, attempt: Attempt): Promise<Estimate> {
    const price = priceIn(this.#currency, attempt.target);
    try {
      if (price === undefined && this.#unpriced === "refuse") {
        throw unpriced(attempt, this.#currency);
      }
      const plan = this.#plan(x, attempt, price, 0);
      const hold = this.#holdOf(x, plan, plan.need);
      const shrink = (room: number) => this.#shrink(x, plan, room);
      const refusal = await this.#ledger.wouldRefuse(hold, shrink);
      const held = price === undefined ? undefined : plan.need;
      return { held, maxTokens: plan.output, refusal };
    } catch (error) {
      if (error instanceof RouterError) return { refusal: error };
      throw error;
    }
  }

  /** Takes what became of an exchange. */
  settle(x: Exchange, outcome: Outcome): void {
    const { inputTokens } = x.state;
    const { usage, target } = outcome;
    const held = this.#held.get(x);
    this.#held.delete(x);
    const tag = held === undefined ? this.#tagOf(x) ?? null : held.tag;
    const { attempt: last, usage: _usage, cost: _cost, ...end } = outcome;
    // What the request ended with may have a row already: it was to be followed by others.
    const isWritten = last !== undefined && held?.written.has(last) === true;
    const own = {
      ...askedOf(x, tag),
      attempts: x.attempts.length,
      price: priceIn(this.#currency, target),
      cost: isWritten ? undefined : outcome.cost,
      outcome: isWritten ? end : outcome,
      route: routeRecord(x),
    };
    const written = new Set(held?.written);
    if (last !== undefined) written.add(last);
    const tries = x.attempts.length > 1 ? paidTries(x, tag, this.#currency, written) : [];
    this.#ledger.settle(own, tries.map(({ entry }) => entry));
    if (target === undefined || usage === undefined || usage.estimated) return;
    if (inputTokens === undefined || own.uncounted) return;
    this.#margins.learn(target, inputTokens + (last?.prefilled ?? 0), usage.input);
  }
}

/** Whether a try asks the target that was asked before, and as much of it. */
function isSame({ attempt: before }: Plan, { target, prefilled }: Attempt): boolean {
  return before.target.provider === target.provider && before.target.model === target.model &&
    before.prefilled === prefilled;
}

/** Tells the client to how many tokens its answer was cut. */
const cutHeader = "x-xrouter-max-tokens";

/** Lets an answer have only so many tokens, and says so. */
function cut(x: Exchange, attempt: Attempt, output: number): void {
  attempt.body.max_tokens = output;
  x.replyHeaders[cutHeader] = String(output);
}

/** Whether what the key may spend has an end. */
function isBounded(caller: ApiKey | undefined): boolean {
  return [caller?.limits, caller?.ownerLimits].some((each) => each?.prepaid || each?.limited);
}

function unpriced({ target }: Attempt, currency: string): RouterError {
  return new RouterError(
    "no_route",
    `"${target.provider}/${target.model}" has no price in ${currency}. Choose another model, or ` +
      "let the operator set a price",
    { param: "model" },
  );
}
