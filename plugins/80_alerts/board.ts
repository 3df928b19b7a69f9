/**
 * Decides what people are told: each change of a subject once, and nothing more of it for a while.
 *
 * @module
 */
import type { Log } from "xrouter/plugin";
import { type Alert, type Condition, createAlert, type Facts, type Language } from "./alert.ts";
import type { Told, ToldStore } from "./told.ts";

/** The most subjects that are watched: a provider, an account. Those beyond wait until some are well. */
const most = 10_000;

interface Subject {
  readonly condition: Condition;
  readonly name: string;
  /** How it is. */
  bad: boolean;
  facts: Facts;
  /** Its change is noted without a message. */
  silent: boolean;
  /** What people know of it. */
  told: Told;
  telling: boolean;
}

/** What the board works with. */
export interface BoardOptions {
  readonly told: ToldStore;
  /** Milliseconds for which nothing more is told of a subject. */
  readonly quietMs: number;
  readonly language: Language;
  readonly log: Log;
  /** Takes the messages. */
  readonly send: (alert: Alert) => void;
}

/** All that is bad, or was lately. */
export class AlertBoard {
  readonly #o: BoardOptions;
  readonly #subjects = new Map<string, Subject>();
  readonly #telling = new Set<Promise<void>>();

  /** @param options The store, the times and the way out. */
  constructor(options: BoardOptions) {
    this.#o = options;
  }

  /** Remembers what was told before the start. Rejects when the database does. */
  async load(): Promise<void> {
    for (const [id, told] of await this.#o.told.load(most)) {
      const colon = id.indexOf(":");
      const condition = id.slice(0, colon) as Condition;
      const name = id.slice(colon + 1);
      this.#subjects.set(id, newSubject(condition, name, true, told));
    }
  }

  /**
   * Takes how a subject is; the same again costs nothing.
   *
   * @param name Which provider, which account; empty where there is only one.
   * @param silent Whether a change is only noted, because another message says it.
   */
  report(condition: Condition, name: string, bad: boolean, facts: Facts, silent = false): void {
    const id = `${condition}:${name}`;
    let subject = this.#subjects.get(id);
    if (subject === undefined) {
      if (!bad || this.#subjects.size >= most) return;
      subject = newSubject(condition, name, false, { bad: false, at: -Infinity });
      this.#subjects.set(id, subject);
    }
    subject.bad = bad;
    subject.facts = facts;
    subject.silent = silent;
    this.#settle(id, subject);
  }

  /** Whether people were told that a subject is bad. */
  isTold(condition: Condition, name: string): boolean {
    return this.#subjects.get(`${condition}:${name}`)?.told.bad ?? false;
  }

  /** Looks at the clock: tells what had to wait, and forgets what has long been well. */
  tick(): void {
    for (const [id, subject] of this.#subjects) {
      if (subject.bad !== subject.told.bad) this.#settle(id, subject);
      else if (!subject.bad && !subject.telling && !this.#isQuiet(subject)) {
        this.#subjects.delete(id);
      }
    }
  }

  /** Resolves when what is being told has been handed on. */
  async flush(): Promise<void> {
    await Promise.all(this.#telling);
  }

  #isQuiet({ told }: Subject): boolean {
    const age = Date.now() - told.at;
    // A clock that was set back must not silence it.
    return age >= 0 && age < this.#o.quietMs;
  }

  #settle(id: string, subject: Subject): void {
    if (subject.telling || subject.bad === subject.told.bad || this.#isQuiet(subject)) return;
    subject.telling = true;
    const telling = this.#tell(id, subject).finally(() => {
      this.#telling.delete(telling);
      subject.telling = false;
      this.#settle(id, subject);
    });
    this.#telling.add(telling);
  }

  async #tell(id: string, subject: Subject): Promise<void> {
    const { condition, name, bad, facts, silent } = subject;
    const { told, log, language, send } = this.#o;
    let isMine = true;
    try {
      const { mine, ...known } = await told.claim(id, bad);
      subject.told = known;
      isMine = mine;
    } catch (error) {
      // A database in trouble is itself worth telling: then memory alone has to do.
      log.warn("what is told cannot be noted", { error: String(error) });
      subject.told = { bad, at: Date.now() };
    }
    const alert = isMine && !silent
      ? createAlert(condition, name, bad, facts, language)
      : undefined;
    if (alert === undefined) return;
    log.info("alert", { event: alert.event, text: alert.text });
    send(alert);
  }
}

function newSubject(condition: Condition, name: string, bad: boolean, told: Told): Subject {
  return { condition, name, bad, facts: {}, silent: false, told, telling: false };
}
