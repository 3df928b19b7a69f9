/**
 * One file on its way to GigaChat, for all requests that bring it.
 *
 * @module
 */
import { unlessAborted } from "../../core/unless_aborted.ts";

/** Begins an upload. @returns The file's id at GigaChat. */
export type Begin = () => Promise<string>;

/**
 * The upload of a file, which several requests may wait for. Where it hangs, one of them begins
 * another; what ends first counts for all.
 */
export class SharedUpload {
  readonly #patienceMs: number;
  readonly #onSpare: (id: string) => void;
  readonly #first = Promise.withResolvers<string>();
  #isOver = false;
  #begun = 0;
  /** By `performance.now()`. */
  #begunAt = -Infinity;

  /**
   * @param patienceMs Milliseconds for which requests wait for an upload before they begin another.
   * @param onSpare Told of each further id that the file got.
   */
  constructor(patienceMs: number, onSpare: (id: string) => void) {
    this.#patienceMs = patienceMs;
    this.#onSpare = onSpare;
    // Those who wait hear of it.
    this.#first.promise.catch(() => {});
  }

  /** The id, once an upload has ended; rejects with what the last one that was begun failed by. */
  get id(): Promise<string> {
    return this.#first.promise;
  }

  /**
   * Waits for the id. Begins an upload, at most one, where none is under way or the last has taken too
   * long.
   *
   * @param signal Ends the waiting, and not the upload.
   */
  async wait(begin: Begin, signal: AbortSignal): Promise<string> {
    while (!this.#isOver) {
      const rest = this.#begunAt + this.#patienceMs - performance.now();
      if (rest <= 0) {
        this.#begin(begin);
        break;
      }
      await this.#pause(rest, signal);
    }
    return await unlessAborted(this.#first.promise, signal);
  }

  #begin(begin: Begin): void {
    const number = ++this.#begun;
    this.#begunAt = performance.now();
    begin().then((id) => {
      if (this.#isOver) return this.#onSpare(id);
      this.#isOver = true;
      this.#first.resolve(id);
    }, (error) => {
      // One that was given up may fail as it likes.
      if (number < this.#begun) return;
      this.#isOver = true;
      this.#first.reject(error);
    });
  }

  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    const over = Promise.withResolvers<void>();
    const timer = setTimeout(over.resolve, ms);
    try {
      await unlessAborted(Promise.race([this.#first.promise, over.promise]), signal);
    } finally {
      clearTimeout(timer);
    }
  }
}
