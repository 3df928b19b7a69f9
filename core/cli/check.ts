/**
 * One line of `xrouter doctor`.
 *
 * @module
 */
import { oneLine, paint } from "./terminal.ts";

/** What the doctor looked at, what it found, and the cure. */
export interface Check {
  /** `info` is neither good nor bad; only `fail` makes the doctor's exit code 1. */
  readonly status: "ok" | "info" | "warn" | "fail";
  /** What was looked at. */
  readonly name: string;
  /** What was found. */
  readonly found: string;
  /** What to do about it; absent where there is nothing to do. */
  readonly cure?: string;
}

const colours = { ok: "green", info: "dim", warn: "yellow", fail: "red" } as const;

/**
 * The lines of a check.
 *
 * @param width Columns that the names take.
 */
export function formatCheck({ status, name, found, cure }: Check, width: number): string {
  const line = `${paint(status.padEnd(4), colours[status])}  ${name.padEnd(width)}  ${
    oneLine(found)
  }`;
  return cure === undefined ? line : `${line}\n${" ".repeat(width + 8)}→ ${oneLine(cure)}`;
}
