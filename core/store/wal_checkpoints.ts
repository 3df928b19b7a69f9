/**
 * Checkpoints of a local file: what its write-ahead log holds is copied into the file itself. SQLite
 * does that within a commit, and as long as the disk takes for it, every open answer waits: with a
 * hundred requests a second once in a second, for 5 ms. Here another thread does it.
 *
 * @module
 */
import Database from "libsql/promise";

/**
 * Run by connections that leave checkpoints to this module. Once the log has so many pages of 4 KiB
 * they make one themselves, but for what is copied already: writers begin the log anew when all of it
 * is copied, and those that never pause have always more.
 */
export const leaveCheckpoints = "PRAGMA wal_autocheckpoint = 4000";

/** The log grows while it is copied: each further pass has less to do, at last nothing. */
const checkpoint = "PRAGMA wal_checkpoint(PASSIVE);".repeat(3);

/** The checkpoints of one file. */
export class WalCheckpoints {
  readonly #path: string;
  readonly #intervalMs: number;
  #database: Database | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #running = false;
  #closed = false;

  /**
   * @param path The file; it is opened with the first checkpoint.
   * @param intervalMs Milliseconds from a write to the checkpoint that copies it.
   */
  constructor(path: string, intervalMs = 1_000) {
    this.#path = path;
    this.#intervalMs = intervalMs;
  }

  /** Something was written. */
  noteWrite(): void {
    if (this.#closed) return;
    this.#timer ??= setTimeout(() => void this.#checkpoint(), this.#intervalMs);
  }

  /** Ends them. The last connection that is closed copies what is left. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    if (!this.#running) this.#database?.close();
  }

  async #checkpoint(): Promise<void> {
    this.#running = true;
    try {
      this.#database ??= new Database(this.#path, {});
      await this.#database.exec(checkpoint);
    } catch {
      // The next one tries again. If none succeeds, the writers' own do, or their writes fail.
    }
    this.#running = false;
    this.#timer = undefined;
    if (this.#closed) this.#database?.close();
  }
}
