/**
 * Brings alerts to one sink, in order, off every request's way.
 *
 * @module
 */
import type { Log } from "xrouter/plugin";
import type { Alert } from "./alert.ts";
import type { Sink } from "./sink.ts";

/** The most alerts that wait; the oldest makes room. */
const most = 100;

/** How patiently a sink is asked, in milliseconds. */
export interface Patience {
  /** For one try. */
  readonly timeout: number;
  /** Before the second try, and before the third. */
  readonly pauses: readonly number[];
  /** For what waits when XRouter stops. */
  readonly close: number;
}

const patience: Patience = { timeout: 10_000, pauses: [1_000, 5_000], close: 3_000 };

/** The way to one sink. */
export class Delivery {
  readonly #sink: Sink;
  readonly #log: Log;
  readonly #patience: Patience;
  readonly #queue: Alert[] = [];
  readonly #closed = new AbortController();
  #running: Promise<void> | undefined;
  /** Ends the pause between two tries. */
  #hurry: (() => void) | undefined;
  #closing = false;
  #dropped = 0;

  /**
   * @param sink Where to.
   * @param log Takes what could not be delivered, never the address.
   */
  constructor(sink: Sink, log: Log, times: Patience = patience) {
    this.#sink = sink;
    this.#log = log;
    this.#patience = times;
  }

  /** How many alerts never arrived. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Takes an alert. Never throws and never waits. */
  add(alert: Alert): void {
    if (this.#queue.length >= most) this.#drop(this.#queue.shift()!, "too many wait");
    this.#queue.push(alert);
    this.#running ??= this.#run();
  }

  /** Brings away what waits, as far as that is quick. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#hurry?.();
    const timer = setTimeout(() => this.#closed.abort(), this.#patience.close);
    await this.#running;
    clearTimeout(timer);
  }

  async #run(): Promise<void> {
    for (let alert = this.#queue.shift(); alert !== undefined; alert = this.#queue.shift()) {
      const failure = await this.#deliver(alert);
      if (failure !== undefined) this.#drop(alert, failure);
    }
    // At once with the last look at the queue: what comes after it starts anew.
    this.#running = undefined;
  }

  /** @returns Why it did not arrive. */
  async #deliver(alert: Alert): Promise<string | undefined> {
    const { pauses } = this.#patience;
    for (let tries = 0;; tries++) {
      const { failure, isFinal } = await this.#post(alert);
      const pause = pauses[tries];
      if (failure === undefined || isFinal || pause === undefined) return failure;
      if (!this.#closing) await this.#pause(pause);
      if (this.#closed.signal.aborted) return failure;
    }
  }

  /** One try. What an error says may hold the address, so that only its kind is told. */
  async #post(alert: Alert): Promise<{ failure?: string; isFinal?: boolean }> {
    const timeout = AbortSignal.timeout(this.#patience.timeout);
    try {
      const response = await fetch(this.#sink.url, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(this.#sink.body(alert)),
        redirect: "manual",
        signal: AbortSignal.any([timeout, this.#closed.signal]),
      });
      const { ok, status } = response;
      await response.body?.cancel();
      if (ok) return {};
      return {
        failure: `HTTP ${status}`,
        isFinal: status < 500 && status !== 408 && status !== 429,
      };
    } catch {
      if (this.#closed.signal.aborted) return { failure: "XRouter stops", isFinal: true };
      return { failure: timeout.aborted ? "no answer in time" : "no connection" };
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      const hurry = () => {
        clearTimeout(timer);
        resolve();
      };
      this.#hurry = hurry;
    });
  }

  #drop({ event, id }: Alert, reason: string): void {
    this.#dropped++;
    const sink = this.#sink.name;
    this.#log.warn("an alert is lost", { sink, event, id, reason, lost: this.#dropped });
  }
}
