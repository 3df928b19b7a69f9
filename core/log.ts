/**
 * The log: one JSON object a line, on standard error, so that standard output stays free for what a
 * command was asked for.
 *
 * @module
 */

/** Fields of a log line. Never a secret, never a body. */
export type LogFields = Record<string, unknown>;

/** Writes log lines. */
export interface Log {
  /** Something that went as it should. */
  info(message: string, fields?: LogFields): void;
  /** Something that someone should look at. */
  warn(message: string, fields?: LogFields): void;
  /** Something that failed. */
  error(message: string, fields?: LogFields): void;
  /** The same log with fields in every line. */
  with(fields: LogFields): Log;
}

/**
 * A log that hands each finished line to `write`.
 *
 * @param write Takes one line without its newline; `urgent` lines should not wait.
 * @param shared Fields of every line.
 */
export function createLog(
  write: (line: string, urgent: boolean) => void,
  shared: LogFields = {},
): Log {
  const line = (level: string, urgent: boolean) => (message: string, fields?: LogFields) =>
    write(
      JSON.stringify({ time: new Date().toISOString(), level, message, ...shared, ...fields }),
      urgent,
    );
  return {
    info: line("info", false),
    warn: line("warn", true),
    error: line("error", true),
    with: (fields) => createLog(write, { ...shared, ...fields }),
  };
}

/** Milliseconds for which lines are collected, so that a busy log costs one write for many lines. */
const collectMs = 100;

/** Writes lines to standard error, in groups; what cannot be written is dropped. */
export class StderrLines {
  #lines: string[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Takes a line; an urgent one is written now, with all that came before it. */
  readonly write = (line: string, urgent: boolean): void => {
    this.#lines.push(line);
    if (urgent) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), collectMs);
  };

  /** Writes what has been collected. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#lines.length === 0) return;
    const bytes = new TextEncoder().encode(`${this.#lines.join("\n")}\n`);
    this.#lines = [];
    try {
      for (let at = 0; at < bytes.length;) at += Deno.stderr.writeSync(bytes.subarray(at));
    } catch {
      // Whoever read it has gone: the answers that run are worth more than lines that nobody reads.
    }
  }
}
