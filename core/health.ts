/**
 * How a provider, or one of its models, has been doing: a sliding window over the tries made of it.
 *
 * @module
 */
import { drained, wholeAnswer } from "./deadline.ts";
import type { ErrorCode, RouterError } from "./errors.ts";

/** The codes of failures that are the provider's own. */
export const faults = [
  "insufficient_quota",
  "upstream_busy",
  "upstream_rejected",
  "upstream_unavailable",
  "timeout",
] as const satisfies readonly ErrorCode[];

/** A code of {@linkcode faults}. */
export type Fault = typeof faults[number];

/**
 * The code of a failure, where it is the provider's own. What names a field is the client's; so is the
 * time that an answer took whose client had left, or may not have read it.
 *
 * @param begun Whether the answer had begun.
 */
export function faultOf({ code, param, detail }: RouterError, begun: boolean): Fault | undefined {
  const isClients = param !== undefined ||
    (code === "timeout" && (detail === drained || (begun && detail === wholeAnswer)));
  return isClients ? undefined : faults.find((fault) => fault === code);
}

/** Parts of a window: what grows too old leaves it a part at a time. */
const slots = 20;

/** Cells for times, four to each doubling from 1 ms to 17 minutes. */
const cells = 81;
const cellsOfDoubling = 4;

/** Where the counts of a slot begin: its tries, its faults by code, and two times by cell. */
const faultsAt = 1;
const firstChunkAt = faultsAt + faults.length;
const durationAt = firstChunkAt + cells;
const width = durationAt + cells;

/**
 * Counts of the tries of the last minutes, in memory of a fixed size (13 kB). The time is given,
 * by `performance.now()`; reading shows the window that ends with the last time given.
 */
export class HealthWindow {
  readonly #slotMs: number;
  readonly #counts = new Uint32Array(slots * width);
  /** Over all slots. */
  readonly #sums = new Uint32Array(width);
  /** The slot that the last time lies in, counted from time 0. */
  #newest = 0;

  /** @param windowMs Milliseconds that the window covers, up to a twentieth less. */
  constructor(windowMs: number) {
    this.#slotMs = windowMs / slots;
  }

  /**
   * Counts one try.
   *
   * @param at When it ended.
   * @param fault Why it failed; `undefined` for an answer.
   * @param firstChunkMs From its call to the first chunk of a stream.
   * @param durationMs From its call to the end of a complete answer.
   */
  record(
    at: number,
    fault: Fault | undefined,
    firstChunkMs: number | undefined,
    durationMs: number | undefined,
  ): void {
    this.slideTo(at);
    const slot = Math.floor(at / this.#slotMs);
    if (slot < 0 || slot <= this.#newest - slots) return;
    const row = slot % slots * width;
    this.#add(row, 0);
    if (fault !== undefined) this.#add(row, faultsAt + faults.indexOf(fault));
    if (firstChunkMs !== undefined) this.#add(row, firstChunkAt + cellOf(firstChunkMs));
    if (durationMs !== undefined) this.#add(row, durationAt + cellOf(durationMs));
  }

  /** Drops what has become too old. */
  slideTo(now: number): this {
    const slot = Math.floor(now / this.#slotMs);
    for (let next = Math.max(this.#newest + 1, slot - slots + 1); next <= slot; next++) {
      this.#clear(next % slots * width);
    }
    this.#newest = Math.max(this.#newest, slot);
    return this;
  }

  /** Tries, failed ones too. */
  get attempts(): number {
    return this.#sums[0]!;
  }

  /** Tries that failed. */
  get errors(): number {
    return faults.reduce((sum, fault) => sum + this.errorsOf(fault), 0);
  }

  /** Tries that failed in one way. */
  errorsOf(fault: Fault): number {
    return this.#sums[faultsAt + faults.indexOf(fault)]!;
  }

  /** Milliseconds to the first chunk that a share of streams does not exceed, to a tenth. */
  firstChunkMs(share: number): number | undefined {
    return this.#quantile(firstChunkAt, share);
  }

  /** Milliseconds to the end that a share of complete answers does not exceed, to a tenth. */
  durationMs(share: number): number | undefined {
    return this.#quantile(durationAt, share);
  }

  #add(row: number, column: number): void {
    this.#counts[row + column]!++;
    this.#sums[column]!++;
  }

  #clear(row: number): void {
    if (this.#counts[row] === 0) return;
    for (let column = 0; column < width; column++) {
      this.#sums[column]! -= this.#counts[row + column]!;
    }
    this.#counts.fill(0, row, row + width);
  }

  #quantile(from: number, share: number): number | undefined {
    const counts = this.#sums.subarray(from, from + cells);
    const total = counts.reduce((sum, count) => sum + count, 0);
    let rest = Math.max(1, Math.ceil(share * total));
    const cell = counts.findIndex((count) => (rest -= count) <= 0);
    return total === 0 ? undefined : 2 ** ((cell - 0.5) / cellsOfDoubling);
  }
}

/** The cell of a time: cell n ends with 2^(n/4) ms. */
function cellOf(ms: number): number {
  const cell = Math.ceil(Math.log2(Math.max(ms, 1)) * cellsOfDoubling);
  return Math.min(cell, cells - 1);
}
