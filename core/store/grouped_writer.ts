/** The pause after a failure; it doubles with each further one, up to `lastRetryMs`. */
const firstRetryMs = 100;
const lastRetryMs = 5_000;

/** Failures in a row of groups before the first pause: enough to halve quickly around bad rows. */
const failuresBeforePause = 3;

interface Flush {
  /** Rows of each list that are still to be written for this flush. */
  queued: number;
  aside: number;
  resolve: () => void;
  reject: (error: unknown) => void;
}

/**
 * Collects rows and writes them in groups, off the request's way; loses none.
 *
 * One write runs at a time, in the order of {@link add}. A group that fails is kept and tried again
 * after 100 ms to 5 s, by halves, so that good rows get through and a bad one is found. A row that
 * fails alone is set aside and tried again alone, so it never holds up the others; it stays
 * pending, and each failure is reported, until it is written. Pending rows are held in memory,
 * without a limit.
 */
export class GroupedWriter<Row> {
  readonly #write: (rows: readonly Row[]) => Promise<void>;
  readonly #maxRows: number;
  readonly #maxDelayMs: number;
  readonly #onError: (error: unknown, pending: number) => void;

  /** Rows in order of arrival. A row leaves when it is written or set aside. */
  readonly #queue: Row[] = [];
  /** Rows in the next group: halved by a failure, doubled by a success, up to `#maxRows`. */
  #groupSize: number;
  #queueFailures = 0;
  /** Times on the clock of performance.now(); the queue is not tried before `#queuePausedUntil`. */
  #queuePausedUntil = 0;
  #queueDue = Infinity;

  /** Rows that failed alone. */
  readonly #aside: Row[] = [];
  #asideFailures = 0;
  #asideDue = Infinity;

  #writing = false;
  #failing = false;
  #lastError: unknown;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #flushes: Flush[] = [];
  #closing: Promise<void> | undefined;
  #onDrained: (() => void) | undefined;
  /** Set when {@link close} gave up: nothing is tried again until the next call. */
  #stopped = false;

  /**
   * @param options.write writes a group whole or not at all. A group can come again although its
   * write succeeded (an answer that was lost on its way), so writing it twice must be harmless
   * @param options.maxRows the most rows in a group; a full one is written at once
   * @param options.maxDelayMs how long a row waits for others
   * @param options.onError told of each failed write and of how many rows are pending
   */
  constructor({ write, maxRows = 500, maxDelayMs = 50, onError = () => {} }: {
    write: (rows: readonly Row[]) => Promise<void>;
    maxRows?: number;
    maxDelayMs?: number;
    onError?: (error: unknown, pending: number) => void;
  }) {
    this.#write = write;
    this.#maxRows = this.#groupSize = maxRows;
    this.#maxDelayMs = maxDelayMs;
    this.#onError = onError;
  }

  /** Takes a row. Never throws and never waits; the write happens later, from a timer. */
  add(row: Row): void {
    const length = this.#queue.push(row);
    if (length === this.#maxRows) this.#wakeQueue(0);
    else if (length === 1) this.#wakeQueue(this.#maxDelayMs);
    else if (!this.#stopped) return;
    this.#stopped = false;
    this.#schedule();
  }

  /** Rows that are not written yet: waiting, in a running write, or set aside. */
  get pending(): number {
    return this.#queue.length + this.#aside.length;
  }

  /** Whether the last write failed, and none has succeeded since. */
  get failing(): boolean {
    return this.#failing;
  }

  /**
   * Resolves when every row added before this call is written. Rejects with the error of the first
   * write that fails meanwhile; the rows are then still pending and still retried.
   */
  flush(): Promise<void> {
    if (this.pending === 0) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const flush = { queued: this.#queue.length, aside: this.#aside.length, resolve, reject };
      this.#flushes.push(flush);
      this.#hurry();
    });
  }

  /**
   * Writes everything that is pending, with a retry every 100 ms, until nothing is left.
   *
   * @throws Error after `deadlineMs`, with how many rows were not written and why; they stay
   * pending, but no timer is left and only another call tries them again
   */
  close(deadlineMs = 5_000): Promise<void> {
    if (this.pending === 0) return Promise.resolve();
    this.#closing ??= this.#drain(deadlineMs).finally(() => this.#closing = undefined);
    return this.#closing;
  }

  #drain(deadlineMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const giveUp = setTimeout(() => {
        this.#stopped = true;
        this.#onDrained = undefined;
        clearTimeout(this.#timer);
        const reason = this.#failing ? `: ${this.#lastError}` : "";
        const message = `Rows not written within ${deadlineMs} ms: ${this.pending}${reason}`;
        const error = new Error(message, { cause: this.#lastError });
        for (const flush of this.#flushes.splice(0)) flush.reject(error);
        reject(error);
      }, deadlineMs);
      const drained = () => {
        this.#onDrained = undefined;
        clearTimeout(giveUp);
        resolve();
      };
      this.#onDrained = drained;
      this.#hurry();
    });
  }

  /** Makes everything pending due now, whatever pause it was in. */
  #hurry(): void {
    this.#queuePausedUntil = 0;
    this.#wakeQueue(0);
    this.#wakeAside(0);
    this.#stopped = false;
    this.#schedule();
  }

  #wakeQueue(delayMs: number): void {
    const due = Math.max(performance.now() + delayMs, this.#queuePausedUntil);
    this.#queueDue = this.#queue.length > 0 ? due : Infinity;
  }

  #wakeAside(delayMs: number): void {
    this.#asideDue = this.#aside.length > 0 ? performance.now() + delayMs : Infinity;
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    const due = Math.min(this.#queueDue, this.#asideDue);
    if (this.#writing || this.#stopped || due === Infinity) return;
    // One group a turn of the event loop: a libSQL file blocks it for the length of a write.
    this.#timer = setTimeout(() => this.#attempt(), Math.max(0, due - performance.now()));
  }

  async #attempt(): Promise<void> {
    const isAside = this.#asideDue < this.#queueDue;
    const rows = isAside ? this.#aside.slice(0, 1) : this.#queue.slice(0, this.#groupSize);
    this.#writing = true;
    try {
      await this.#write(rows);
      this.#failing = false;
      if (isAside) this.#asideWritten();
      else this.#queueWritten(rows.length);
    } catch (error) {
      this.#failing = true;
      this.#lastError = error;
      for (const flush of this.#flushes.splice(0)) flush.reject(error);
      if (isAside) this.#asideFailed();
      else this.#queueFailed(rows.length);
      this.#report(error);
    }
    this.#writing = false;
    this.#schedule();
    if (this.pending === 0) this.#onDrained?.();
  }

  #queueWritten(rows: number): void {
    this.#queue.splice(0, rows);
    this.#groupSize = Math.min(this.#groupSize * 2, this.#maxRows);
    this.#queueFailures = this.#queuePausedUntil = 0;
    this.#settleFlushes("queued", rows);
    const isUrgent = this.#queue.length >= this.#groupSize || this.#flushes.length > 0 ||
      this.#closing !== undefined;
    this.#wakeQueue(isUrgent ? 0 : this.#maxDelayMs);
  }

  #queueFailed(rows: number): void {
    this.#queueFailures++;
    const pause = this.#retryDelay(this.#queueFailures - failuresBeforePause);
    this.#queuePausedUntil = performance.now() + pause;
    this.#groupSize = Math.ceil(rows / 2);
    if (rows === 1) {
      this.#aside.push(...this.#queue.splice(0, 1));
      if (this.#aside.length === 1) this.#asideFailed();
    }
    this.#wakeQueue(0);
  }

  #asideWritten(): void {
    this.#aside.shift();
    this.#asideFailures = 0;
    this.#settleFlushes("aside", 1);
    this.#wakeAside(0);
  }

  #asideFailed(): void {
    this.#asideFailures++;
    this.#aside.push(...this.#aside.splice(0, 1));
    this.#wakeAside(this.#retryDelay(this.#asideFailures));
  }

  #retryDelay(failures: number): number {
    if (failures <= 0) return 0;
    if (this.#closing !== undefined) return firstRetryMs;
    return Math.min(firstRetryMs * 2 ** (failures - 1), lastRetryMs);
  }

  #settleFlushes(list: "queued" | "aside", rows: number): void {
    this.#flushes = this.#flushes.filter((flush) => {
      flush[list] -= rows;
      if (flush.queued > 0 || flush.aside > 0) return true;
      flush.resolve();
      return false;
    });
  }

  #report(error: unknown): void {
    try {
      this.#onError(error, this.pending);
    } catch {
      // A reporter that throws must not stop the writer.
    }
  }
}
