/**
 * The share of requests that fail.
 *
 * @module
 */
import type { Outcome } from "xrouter/plugin";
import { errorTable } from "../../core/errors.ts";
import { faults, HealthWindow } from "../../core/health.ts";
import type { Facts } from "./alert.ts";

/** From when on it is too high. */
export interface ErrorThresholds {
  /** Share of failed requests. */
  readonly rate: number;
  /** Milliseconds that are looked at. */
  readonly windowMs: number;
  /** Requests that it takes to tell. */
  readonly least: number;
}

/** Counts requests, and judges. */
export class ErrorRate {
  readonly #thresholds: ErrorThresholds;
  readonly #window: HealthWindow;
  #isHigh: boolean;

  /** @param isHigh Whether it was too high before the start. */
  constructor(thresholds: ErrorThresholds, isHigh: boolean) {
    this.#thresholds = thresholds;
    this.#window = new HealthWindow(thresholds.windowMs);
    this.#isHigh = isHigh;
  }

  /** Counts one request: what its client got wrong, or left, and what limits refused says nothing. */
  record({ state, error }: Outcome): void {
    const failed = error !== undefined &&
      (errorTable[error.code].status >= 500 || faults.some((fault) => fault === error.code));
    if (state !== "completed" && !failed) return;
    // The window wants the fault's name, which nobody reads here.
    const fault = error === undefined ? undefined : "upstream_unavailable";
    this.#window.record(performance.now(), fault, undefined, undefined);
  }

  /**
   * Judges now. To be well again the rate has to fall to half, so that one about the threshold does
   * not go to and fro.
   */
  judge(now: number = performance.now()): { isHigh: boolean; facts: Facts } {
    const { rate, least, windowMs } = this.#thresholds;
    const { attempts: requests, errors: failed } = this.#window.slideTo(now);
    const share = requests === 0 ? 0 : failed / requests;
    if (this.#isHigh) this.#isHigh = requests === 0 || share > rate / 2;
    else this.#isHigh = requests >= least && share >= rate;
    const percent = Math.round(share * 100);
    return {
      isHigh: this.#isHigh,
      facts: { percent, failed, requests, minutes: Math.round(windowMs / 6_000) / 10 },
    };
  }
}
