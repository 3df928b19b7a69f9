/**
 * Runs a schedule against the model and against a real database, and compares them after each step.
 *
 * @module
 */
import type { Client } from "@libsql/client";
import { assert, assertEquals } from "@std/assert";
import type { Hold } from "../../core/ledger/hold_writer.ts";
import type { HoldPlan, Schedule, Step } from "./ledger_schedule.ts";
import { LedgerModel, type ModelHold } from "./ledger_model.ts";
import type { LedgerProcess, SharedFile } from "./ledger_processes.ts";
import { assertRefusal, entryOf, price, pricePerToken } from "./ledger_state.ts";
import { TrialAccounts } from "./trial_accounts.ts";
import { endTries, modelOf, moveTry, type Running } from "./trial_tries.ts";

let trials = 0;

/** One schedule, with accounts of its own. */
export class LedgerTrial {
  readonly #processes: readonly [LedgerProcess, LedgerProcess];
  readonly #database: Client;
  readonly #prefix = `t${++trials}`;
  readonly #model = new LedgerModel();
  readonly #accounts: TrialAccounts;
  /** Exchanges whose process lives, and those that a dead process left. */
  #running: Running[] = [];
  #left: string[] = [];
  #requests = 0;

  /** @param file The database. */
  constructor({ processes }: SharedFile) {
    this.#processes = processes;
    this.#database = processes[0].database;
    this.#accounts = new TrialAccounts(this.#database, this.#model, this.#prefix);
  }

  /** Runs it. Rejects at the first difference. */
  async run({ credits, limits, steps }: Schedule): Promise<void> {
    await this.#accounts.open();
    for (const [account, amount] of credits.entries()) {
      await this.#accounts.credit(this.#database, account, amount ?? 0);
    }
    for (const [account, limit] of limits.entries()) {
      if (limit !== null) await this.#accounts.limit(account, limit);
    }
    for (const step of steps) {
      await this.#step(step);
      await this.#accounts.compare();
    }
    await this.#end();
  }

  /** Whatever happened, in the end nothing is held. */
  async #end(): Promise<void> {
    for (const which of [...this.#running.keys()].reverse()) {
      await this.#settle({ do: "settle", which, cost: 1, tries: [2], twice: false });
    }
    await this.#recover({ do: "recover", process: 1 });
    await this.#accounts.compare();
    assertEquals(this.#model.holds.size, 0);
  }

  #step(step: Step): Promise<void> {
    switch (step.do) {
      case "hold":
        return this.#hold(step.process, step.plan, step.least);
      case "burst":
        return this.#burst(step);
      case "move":
        return this.#move(step);
      case "look":
        return this.#look(step);
      case "settle":
        return this.#settle(step);
      case "refuse":
        return this.#refuse(step);
      case "swap":
        return this.#swap(step);
      case "crash":
        return this.#crash(step);
      case "recover":
        return this.#recover(step);
      case "presume dead":
        return this.#presumeDead(step);
      case "credit":
        return this.#accounts.credit(
          this.#processes[step.process]!.database,
          step.account,
          step.amount,
        );
      case "limit":
        return this.#accounts.limit(step.account, step.amount);
      case "parallel":
        return this.#accounts.parallel(step.account, step.count);
    }
  }

  async #hold(process: number, plan: HoldPlan, least?: number): Promise<void> {
    const { running, modelHold } = this.#begin(process, plan);
    const error = await this.#ask(running, least);
    let refusal = this.#model.hold(modelHold);
    if (refusal !== undefined && least !== undefined && plan.priced) {
      const room = this.#model.room(modelHold.accounts);
      if (room >= least && room < plan.amount) {
        modelHold.amount = room;
        refusal = this.#model.hold(modelHold);
      }
    }
    assertRefusal(error, refusal);
    if (error === undefined) this.#running.push(running);
  }

  /** Within a burst nothing is set free, so those that were refused fit at its end no more than before. */
  async #burst({ plans }: Extract<Step, { do: "burst" }>): Promise<void> {
    const asked = await Promise.all(plans.map(async ({ process, plan }) => {
      const { running, modelHold } = this.#begin(process, plan);
      return { running, modelHold, error: await this.#ask(running) };
    }));
    for (const { running, modelHold, error } of asked) {
      if (error !== undefined) continue;
      assertEquals(this.#model.hold(modelHold), undefined);
      this.#running.push(running);
    }
    for (const { modelHold, error } of asked) {
      if (error === undefined) continue;
      assert(this.#model.hold(modelHold) !== undefined, `refused, but it fits: ${error}`);
    }
  }

  async #move(step: Extract<Step, { do: "move" }>): Promise<void> {
    const running = this.#pick(step.which);
    if (running !== undefined) await moveTry(running, this.#model, step);
  }

  async #look({ process, outputTokens }: Extract<Step, { do: "look" }>): Promise<void> {
    const { ledger } = this.#processes[process]!;
    for (const running of this.#running) {
      if (running.process.ledger !== ledger) continue;
      running.outputTokens = outputTokens;
      const held = this.#model.holds.get(running.hold.requestId);
      if (held !== undefined) held.outputTokens = outputTokens;
    }
    await ledger.look();
  }

  async #settle({ which, cost, tries, twice }: Extract<Step, { do: "settle" }>): Promise<void> {
    const running = this.#take(which);
    if (running === undefined) return;
    const { hold, accounts, process: { ledger } } = running;
    const { entries, settle } = endTries(running, this.#model, tries);
    ledger.settle(entryOf(hold, cost), entries);
    if (twice) ledger.settle(entryOf(hold, cost), entries);
    await ledger.flush();
    settle();
    this.#model.settle(hold.requestId, accounts, cost);
  }

  async #refuse({ process, key }: Extract<Step, { do: "refuse" }>): Promise<void> {
    const plan = { key, amount: 0, priced: false };
    const { hold, accounts, process: { ledger } } = this.#begin(process, plan).running;
    ledger.settle(entryOf(hold, null));
    await ledger.flush();
    this.#model.settle(hold.requestId, accounts, null);
  }

  /** What has ended makes room, though it is written a moment later. */
  async #swap({ which, cost, plan }: Extract<Step, { do: "swap" }>): Promise<void> {
    const ended = this.#take(which);
    if (ended === undefined) return;
    const { ledger } = ended.process;
    ledger.settle(entryOf(ended.hold, cost));
    const settle = () => this.#model.settle(ended.hold.requestId, ended.accounts, cost);
    const process = this.#processes.indexOf(ended.process);
    const { running, modelHold } = this.#begin(process, plan);
    const error = await this.#ask(running);
    let refusal = this.#model.hold(modelHold);
    // The end is written first where the hold waits for it, and where the machine was too slow.
    if (refusal !== undefined || error !== undefined) {
      this.#model.holds.delete(modelHold.id);
      settle();
      refusal = this.#model.hold(modelHold);
    }
    assertRefusal(error, refusal);
    if (error === undefined) this.#running.push(running);
    await ledger.flush();
    settle();
  }

  async #crash({ process, settling }: Extract<Step, { do: "crash" }>): Promise<void> {
    const dying = this.#processes[process]!;
    const lost = this.#running.filter((running) => running.process === dying);
    if (settling !== undefined && lost.length > 0) {
      dying.ledger.settle(entryOf(lost[settling % lost.length]!.hold, 1));
    }
    await dying.crash();
    this.#left.push(...lost.map(({ hold }) => hold.requestId));
    this.#running = this.#running.filter((running) => running.process !== dying);
  }

  async #recover({ process }: Extract<Step, { do: "recover" }>): Promise<void> {
    const left = this.#left.filter((id) => this.#model.holds.has(id));
    this.#left = [];
    await this.#expire(left);
    assertEquals(await this.#processes[process]!.ledger.recover(), left.length);
    this.#model.recover(left.sort());
  }

  async #presumeDead({ which }: Extract<Step, { do: "presume dead" }>): Promise<void> {
    const running = this.#pick(which);
    const id = running?.hold.requestId;
    if (running === undefined || !this.#model.holds.has(id!)) return;
    await this.#expire([id!]);
    const other = this.#processes.find((process) => process !== running.process)!;
    assertEquals(await other.ledger.recover(), 1);
    this.#model.recover([id!]);
  }

  #begin(process: number, plan: HoldPlan) {
    const { key, amount, priced } = plan;
    const requestId = `${this.#prefix}:${String(++this.#requests).padStart(3, "0")}`;
    const { accounts, ...payers } = this.#accounts.payersOf(key);
    const hold: Hold = {
      requestId,
      ...payers,
      amount,
      openedAt: Date.now(),
      provider: "p",
      model: modelOf(1),
      modelAsked: "m",
      tag: null,
      stream: true,
      inputTokens: this.#requests,
      price: priced ? price : undefined,
    };
    const modelHold: ModelHold = {
      id: requestId,
      accounts,
      amount,
      price: priced ? pricePerToken : undefined,
      inputTokens: this.#requests,
      outputTokens: 0,
      number: 1,
      beside: [],
    };
    const running: Running = {
      hold,
      accounts,
      process: this.#processes[process]!,
      outputTokens: 0,
      tries: 1,
      going: [{ number: 1, priced: plan.priced }],
      written: [],
    };
    return { running, modelHold };
  }

  /** @returns What the ledger refuses with. */
  #ask(running: Running, least?: number): Promise<unknown> {
    const shrink = (room: number) => least !== undefined && room >= least ? room : undefined;
    const progress = () => running.outputTokens;
    return running.process.ledger.hold(running.hold, progress, shrink)
      .then(() => undefined, (error) => error);
  }

  #pick(which: number): Running | undefined {
    return this.#running[which % this.#running.length];
  }

  #take(which: number): Running | undefined {
    return this.#running.splice(which % this.#running.length, 1)[0];
  }

  async #expire(ids: readonly string[]): Promise<void> {
    await this.#database.execute({
      sql: `UPDATE holds SET expires_at = 1 WHERE request_id IN (SELECT value FROM json_each(?))`,
      args: [JSON.stringify(ids)],
    });
  }
}
