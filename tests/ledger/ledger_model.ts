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
  readonly inputTokens: number;
  /** As of the last checkpoint. */
  outputTokens: number;
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

  /** Changes amount and price of a hold, or says which account refuses that; it then stays. */
  move(id: string, amount: number, price: number | undefined): ModelRefusal | undefined {
    const before = this.holds.get(id)!;
    this.holds.delete(id);
    const moved = { ...before, amount, price };
    // It runs already, so it is no further one.
    const refusal = this.#refusalOf(moved, false);
    this.holds.set(id, refusal === undefined ? moved : before);
    return refusal;
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
    for (const account of accounts) {
      account.balance += before?.charged ?? 0;
      account.used -= before?.charged ?? 0;
    }
    this.holds.delete(id);
    // Beyond the hold, credit is charged as far as it goes and is not held for others.
    const credit = accounts.filter(({ prepaid }) => prepaid)
      .map((account) => account.balance - this.heldBy(account));
    const charged = Math.max(0, Math.min(cost ?? 0, ...credit));
    for (const account of accounts) {
      account.balance -= charged;
      account.used += charged;
    }
    this.usage.set(id, { state, cost, charged });
  }

  /** Ends an exchange whose process died: it is charged for its input and its last checkpoint. */
  recover(id: string): void {
    const { accounts, price, inputTokens, outputTokens } = this.holds.get(id)!;
    const cost = price === undefined ? null : (inputTokens + outputTokens) * price;
    this.settle(id, accounts, cost, "interrupted");
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

  #refusalOf({ accounts, amount, price }: ModelHold, isNew = true): ModelRefusal | undefined {
    for (const account of accounts) {
      const { who, prepaid, balance, limit, used } = account;
      const held = this.heldBy(account);
      const most = isNew ? account.parallel ?? Infinity : Infinity;
      if (this.openOf(account) >= most) return { who, why: "parallel" };
      if ((prepaid || limit !== undefined) && price === undefined) return { who, why: "price" };
      if (prepaid && balance - held < amount) return { who, why: "credit" };
      if (used + held + amount > (limit ?? Infinity)) return { who, why: "limit" };
    }
    return undefined;
  }
}
