/**
 * The protocol of the ledger as a small model in memory: what the database and the engine must do,
 * said a second time in other words.
 *
 * @module
 */

/** An account: a key's, or its owner's. Amounts are whole millionths. */
export interface ModelAccount {
  /** As refusals name it: `Key "a"`. */
  readonly who: string;
  prepaid: boolean;
  balance: number;
  limit: number | undefined;
  parallel: number | undefined;
  /** Charged in the limit's period; a test stays within one. */
  used: number;
  /** All that was ever put in, less what was taken out. */
  credited: number;
}

/** An exchange under way. */
export interface ModelHold {
  readonly id: string;
  /** The key first. */
  readonly accounts: readonly ModelAccount[];
  amount: number;
  /** Millionths a token; absent where no price is known. */
  price: number | undefined;
  /** 0 once the try that it names has ended with a cost. */
  inputTokens: number;
  /** As of the last checkpoint. */
  outputTokens: number;
  /** The try that it names. */
  number: number;
  /** Those that go on beside it, and what their input costs. */
  beside: readonly { readonly number: number; readonly cost: number | null }[];
}

/** Why a hold does not fit. */
export interface ModelRefusal {
  readonly who: string;
  readonly why: "parallel" | "price" | "credit" | "limit";
}

/** What an exchange came to. */
export interface ModelEntry {
  readonly state: "completed" | "interrupted";
  readonly cost: number | null;
  readonly charged: number;
}

/** The ledger. */
export class LedgerModel {
  readonly holds: Map<string, ModelHold> = new Map();
  readonly usage: Map<string, ModelEntry> = new Map();

  /** The sum of an account's holds. */
  heldBy(account: ModelAccount): number {
    return this.#holdsOf(account).reduce((sum, { amount }) => sum + amount, 0);
  }

  /** The number of an account's holds. */
  openOf(account: ModelAccount): number {
    return this.#holdsOf(account).length;
  }

  /** What is left for a hold on all these accounts. */
  room(accounts: readonly ModelAccount[]): number {
    return Math.min(...accounts.map((account) => {
      const held = this.heldBy(account);
      const credit = account.prepaid ? account.balance - held : Infinity;
      return Math.min(credit, (account.limit ?? Infinity) - account.used - held);
    }));
  }

  /** Takes a hold, or says which account refuses it. */
  hold(hold: ModelHold): ModelRefusal | undefined {
    const refusal = this.#refusalOf(hold);
    if (refusal === undefined) this.holds.set(hold.id, hold);
    return refusal;
  }

  /** What is left for a hold that there is already. */
  roomOf(id: string): number {
    const { accounts, amount } = this.holds.get(id)!;
    return this.room(accounts) + amount;
  }

  /** Makes a hold that of a further try, or says which account refuses that; it then stays. */
  move(
    id: string,
    next: Pick<ModelHold, "amount" | "price" | "inputTokens" | "number" | "beside">,
  ): ModelRefusal | undefined {
    const before = this.holds.get(id)!;
    this.holds.delete(id);
    const moved = { ...before, ...next, outputTokens: 0 };
    const refusal = this.#refusalOf(moved, before.amount);
    this.holds.set(id, refusal === undefined ? moved : before);
    return refusal;
  }

  /** Charges a try of a request, out of the request's hold where it still has one. */
  settleTry(
    id: string,
    number: number,
    accounts: readonly ModelAccount[],
    cost: number | null,
    state: ModelEntry["state"] = "completed",
  ): void {
    const tryId = `${id}.${number}`;
    const before = this.usage.get(tryId);
    if (before !== undefined && (before.state !== "interrupted" || state === "interrupted")) return;
    this.#takeBack(tryId, accounts);
    const hold = this.holds.get(id);
    const credit = accounts.filter(({ prepaid }) => prepaid)
      .map((account) => account.balance - this.heldBy(account) + (hold?.amount ?? 0));
    const charged = this.#charge(accounts, cost, credit);
    if (hold !== undefined) {
      hold.amount = Math.max(0, hold.amount - charged);
      if (hold.number === number) hold.inputTokens = hold.outputTokens = 0;
    }
    this.usage.set(tryId, { state, cost, charged });
  }

  /**
   * Ends an exchange, whether it has a hold or not. Only the first end counts, but for one that was
   * guessed because its process seemed dead.
   */
  settle(
    id: string,
    accounts: readonly ModelAccount[],
    cost: number | null,
    state: ModelEntry["state"] = "completed",
  ): void {
    const before = this.usage.get(id);
    if (before !== undefined && (before.state !== "interrupted" || state === "interrupted")) return;
    this.#takeBack(id, accounts);
    if (state !== "interrupted") {
      for (const [other, entry] of this.usage) {
        const isTry = other.startsWith(`${id}.`);
        if (isTry && entry.state === "interrupted") this.#takeBack(other, accounts);
      }
    }
    this.holds.delete(id);
    // Beyond the hold, credit is charged as far as it goes and is not held for others.
    const credit = accounts.filter(({ prepaid }) => prepaid)
      .map((account) => account.balance - this.heldBy(account));
    this.usage.set(id, { state, cost, charged: this.#charge(accounts, cost, credit) });
  }

  #takeBack(id: string, accounts: readonly ModelAccount[]): void {
    const charged = this.usage.get(id)?.charged ?? 0;
    for (const account of accounts) {
      account.balance += charged;
      account.used -= charged;
    }
    this.usage.delete(id);
  }

  #charge(accounts: readonly ModelAccount[], cost: number | null, credit: number[]): number {
    const charged = Math.max(0, Math.min(cost ?? 0, ...credit));
    for (const account of accounts) {
      account.balance -= charged;
      account.used += charged;
    }
    return charged;
  }

  /**
   * Ends exchanges whose process died: each is charged for its input and its last checkpoint, and
   * for the input of the tries beside.
   */
  recover(ids: readonly string[]): void {
    for (const id of ids) {
      const { accounts, beside } = this.holds.get(id)!;
      const inOrder = [...beside].sort((a, b) => a.number - b.number);
      for (const { number, cost } of inOrder) {
        this.settleTry(id, number, accounts, cost, "interrupted");
      }
    }
    for (const id of ids) {
      const { accounts, price, inputTokens, outputTokens } = this.holds.get(id)!;
      const cost = price === undefined ? null : (inputTokens + outputTokens) * price;
      this.settle(id, accounts, cost, "interrupted");
    }
  }

  /** Puts credit in or takes it out. @returns Whether that may be. */
  credit(account: ModelAccount, amount: number): boolean {
    const { prepaid, balance } = account;
    if (!prepaid && amount < 0) return false;
    const next = (prepaid ? balance : 0) + amount;
    if (next < this.heldBy(account)) return false;
    account.credited += next - balance;
    account.balance = next;
    account.prepaid = true;
    return true;
  }

  #holdsOf(account: ModelAccount): ModelHold[] {
    return [...this.holds.values()].filter(({ accounts }) => accounts.includes(account));
  }

  /** @param before What was held already for the same request, which is then no further one. */
  #refusalOf(
    { accounts, amount, price }: ModelHold,
    before?: number,
  ): ModelRefusal | undefined {
    for (const account of accounts) {
      const { who, prepaid, balance, limit, used } = account;
      const held = this.heldBy(account);
      const most = before === undefined ? account.parallel ?? Infinity : Infinity;
      if (this.openOf(account) >= most) return { who, why: "parallel" };
      if ((prepaid || limit !== undefined) && price === undefined) return { who, why: "price" };
      if (before !== undefined && amount <= before) continue;
      if (prepaid && balance - held < amount) return { who, why: "credit" };
      if (used + held + amount > (limit ?? Infinity)) return { who, why: "limit" };
    }
    return undefined;
  }
}
