/**
 * A provider, or one of its models, under observation.
 *
 * @module
 */
import type { RouterError } from "xrouter/plugin";
import { HealthWindow } from "../../core/health.ts";
import type { CircuitState } from "../../core/breaker.ts";
import type { StatusRow } from "./history.ts";
import type { Status } from "./status.ts";

/** The last failure that was the provider's own. */
export interface LastError {
  readonly code: string;
  readonly message: string;
  /** The vendor's words. */
  readonly detail: string | undefined;
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** What is known of one provider or one model. */
export class Subject {
  readonly provider: string;
  /** `null` for the provider as a whole. */
  readonly model: string | null;
  readonly window: HealthWindow;
  /** How its circuit stands; `null` for a provider as a whole. */
  readonly #circuit: () => CircuitState | null;
  readonly #windowMs: number;
  readonly #write: (row: StatusRow) => void;
  #status: Status = "unknown";
  #since = Date.now();
  /** The last status in the history. A model without any is taken to have been up. */
  #written: Status | undefined;
  #lastError: LastError | undefined;
  /** There were tries since the last row. */
  #hasNews = false;

  /**
   * @param name The provider, and its model.
   * @param windowMs Milliseconds that counts cover.
   * @param write Takes rows of the history.
   * @param circuit How the model's circuit stands, over all accounts.
   */
  constructor(
    { provider, model }: { provider: string; model: string | null },
    windowMs: number,
    write: (row: StatusRow) => void,
    circuit: () => CircuitState | null = () => null,
  ) {
    this.provider = provider;
    this.model = model;
    this.window = new HealthWindow(windowMs);
    this.#windowMs = windowMs;
    this.#written = model === null ? undefined : "up";
    this.#write = write;
    this.#circuit = circuit;
  }

  /** How it does. */
  get status(): Status {
    return this.#status;
  }

  /** Since when, in milliseconds since 1970. */
  get since(): number {
    return this.#since;
  }

  /** The last failure that was its own, however long ago. */
  get lastError(): LastError | undefined {
    return this.#lastError;
  }

  /** Counts one try; see {@linkcode HealthWindow.record}. */
  record(...counted: Parameters<HealthWindow["record"]>): void {
    this.window.record(...counted);
    this.#hasNews = true;
  }

  /** Remembers a failure, the newest one. */
  failed({ message, detail }: RouterError, code: string, at: number): void {
    if (at < (this.#lastError?.at ?? 0)) return;
    this.#lastError = { code, message, detail, at };
  }

  /**
   * Takes the status that was found; a change goes into the history. There, what rests and comes back
   * as it was has not changed.
   *
   * @param probeMs How long the last probe took, if nothing came after it.
   */
  take(status: Status, probeMs: number | undefined): void {
    if (status === this.#status) return;
    this.#status = status;
    this.#since = Date.now();
    if (status === this.#written || (status === "unknown" && this.#written === "up")) return;
    this.#written = status;
    this.#enter({ changed: true, probeMs });
  }

  /** Enters into the history that an account's circuit has opened or closed. */
  circuitChanged(account: string, circuit: CircuitState): void {
    this.#enter({ changed: true, account, circuit });
  }

  /** Enters how it does into the history, if there were tries since the last row. */
  snapshot(): void {
    if (this.#hasNews) this.#enter({ changed: false });
  }

  #enter(
    { changed, probeMs, account = null, circuit = this.#circuit() }: {
      changed: boolean;
      probeMs?: number | undefined;
      account?: string | null;
      circuit?: CircuitState | null;
    },
  ): void {
    if (account === null) this.#hasNews = false;
    const { attempts, errors } = this.window;
    const now = Date.now();
    const isRecent = this.#lastError !== undefined && this.#lastError.at > now - this.#windowMs;
    this.#write({
      at: now,
      provider: this.provider,
      model: this.model,
      account,
      status: this.#status,
      changed,
      circuit,
      latencyMs: round(this.window.firstChunkMs(0.5)),
      latencyP95Ms: round(this.window.firstChunkMs(0.95)),
      durationMs: round(this.window.durationMs(0.5)),
      durationP95Ms: round(this.window.durationMs(0.95)),
      attempts,
      errors,
      errorRate: attempts === 0 ? null : errors / attempts,
      errorCode: isRecent ? this.#lastError!.code : null,
      probeMs: round(probeMs),
    });
  }
}

/** Whole milliseconds; null where nothing was measured. */
export function round(ms: number | undefined): number | null {
  return ms === undefined ? null : Math.round(ms);
}
