/**
 * The one table of errors and the one class that carries them.
 *
 * Everything that XRouter refuses, and everything that fails on the way to a provider, becomes a
 * {@linkcode RouterError}; its code decides the HTTP status, whether the same target may be asked
 * again, whether the next target may be asked, and whether the text may reach the client.
 *
 * @module
 */

import type { WireUsage } from "./usage_report.ts";

/** What the table says of one code. */
interface ErrorEntry {
  /** HTTP status of the answer. 499 is only recorded: the client has gone. */
  readonly status: number;
  /** OpenAI's `error.type`. */
  readonly type: string;
  /** The same target may be asked again. */
  readonly retry: boolean;
  /** The next target may be asked. */
  readonly fallback: boolean;
  /** The message may reach the client; otherwise only the log has it. */
  readonly expose: boolean;
}

const entry = (
  status: number,
  type: string,
  { retry = false, fallback = false, expose = true } = {},
): ErrorEntry => ({ status, type, retry, fallback, expose });

/** Every error XRouter can answer with. */
export const errorTable = {
  invalid_request: entry(400, "invalid_request_error"),
  context_length_exceeded: entry(400, "invalid_request_error", { fallback: true }),
  content_filter: entry(400, "invalid_request_error"),
  unauthorized: entry(401, "authentication_error"),
  insufficient_credits: entry(402, "insufficient_quota", { fallback: true }),
  forbidden: entry(403, "permission_error"),
  no_route: entry(404, "invalid_request_error"),
  not_found: entry(404, "invalid_request_error"),
  model_not_found: entry(404, "invalid_request_error", { fallback: true }),
  method_not_allowed: entry(405, "invalid_request_error"),
  payload_too_large: entry(413, "invalid_request_error"),
  unsupported_media_type: entry(415, "invalid_request_error"),
  rate_limited: entry(429, "rate_limit_error"),
  overloaded: entry(429, "rate_limit_error"),
  upstream_busy: entry(429, "rate_limit_error", { retry: true, fallback: true }),
  insufficient_quota: entry(429, "insufficient_quota", { fallback: true }),
  queue_full: entry(429, "rate_limit_error", { fallback: true }),
  aborted: entry(499, "aborted"),
  internal: entry(500, "server_error", { expose: false }),
  provider_failed: entry(500, "server_error", { fallback: true }),
  upstream_rejected: entry(502, "upstream_error", { fallback: true }),
  upstream_unavailable: entry(502, "upstream_error", { retry: true, fallback: true }),
  unfit_answer: entry(502, "upstream_error", { retry: true, fallback: true }),
  unavailable: entry(503, "server_error"),
  circuit_open: entry(503, "upstream_error", { fallback: true }),
  timeout: entry(504, "timeout_error", { fallback: true }),
} as const satisfies Record<string, ErrorEntry>;

/** A code of {@linkcode errorTable}. */
export type ErrorCode = keyof typeof errorTable;

/** Milliseconds for which a busy vendor is left alone that does not say for how long. */
export const busyMs = 1_000;

/** The same for one that fails. */
export const failedMs = 5_000;

/** What lasts, though OpenAI's clients would ask again after the status if nobody said so. */
const lasting: ReadonlySet<ErrorCode> = new Set(["insufficient_quota", "upstream_rejected"]);

/**
 * The numbers behind a refusal, as far as they apply. With `currency` they are amounts in its units,
 * otherwise they count requests or tokens.
 */
export interface ErrorMetadata {
  /** Who refuses: the key itself, or what the keys of its owner share. */
  readonly scope: "key" | "owner";
  /** The most that there may be. */
  readonly limit?: number;
  /** What is used of it. */
  readonly used?: number;
  /** What is set aside for requests under way. */
  readonly held?: number;
  /** What a request may still take; never below 0. */
  readonly left?: number;
  /** What this request may take. */
  readonly needed?: number;
  /** ISO 4217 code. */
  readonly currency?: string;
  /** When the limit renews, one of a sliding minute as far as needed: `2026-12-01T00:00:00.000Z`. */
  readonly renews_at?: string;
}

/** OpenAI's error body, with OpenRouter's `metadata` where a refusal has numbers. */
export interface ErrorBody {
  error: {
    message: string;
    type: string;
    code: string;
    param: string | null;
    metadata?: ErrorMetadata;
  };
}

/** What a {@linkcode RouterError} may carry beside its code and message. */
export interface RouterErrorOptions {
  /** The request's field that is wrong, as OpenAI writes it: `messages[0].content`. */
  param?: string;
  /** Milliseconds after which the same call may succeed; becomes `retry-after`. */
  retryAfterMs?: number;
  /** Headers of the answer, in lower case. */
  headers?: Record<string, string>;
  /** The numbers of a refusal, for the client's program. */
  metadata?: ErrorMetadata;
  /** What the operator may read and the client may not, such as a vendor's own words. */
  detail?: string;
  /** The error that led to this one. */
  cause?: unknown;
}

/**
 * An error whose code stands in {@linkcode errorTable}. Throw it from a hook to refuse a request.
 *
 * @example Refuse a request
 * ```ts
 * import { RouterError } from "xrouter/plugin";
 * import { assertEquals } from "@std/assert";
 *
 * const error = new RouterError("invalid_request", "\"n\" must be 1", { param: "n" });
 * assertEquals(error.status, 400);
 * assertEquals(error.body().error.param, "n");
 * ```
 */
export class RouterError extends Error {
  /** `RouterError`. */
  override readonly name = "RouterError";
  /** The code, a key of the table. */
  readonly code: ErrorCode;
  /** The request's field that is wrong, if it is one field. */
  readonly param: string | undefined;
  /** Milliseconds after which the same call may succeed. */
  readonly retryAfterMs: number | undefined;
  /** Headers of the answer, in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** The numbers of a refusal, for the client's program. */
  readonly metadata: ErrorMetadata | undefined;
  /** For the log only. */
  readonly detail: string | undefined;
  /** What the provider reported of an answer that is of no use: it wants to be paid all the same. */
  spent?: WireUsage;

  /**
   * Makes an error to throw.
   *
   * @param code A key of the table.
   * @param message What is wrong and what to do about it.
   * @param options Field, waiting time, headers, numbers, detail and cause.
   * @throws {TypeError} when the table has no such code.
   */
  constructor(code: ErrorCode, message: string, options: RouterErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    if (!Object.hasOwn(errorTable, code)) {
      const known = Object.keys(errorTable).join(", ");
      throw new TypeError(`A RouterError has no code "${code}". Use one of ${known}`);
    }
    this.code = code;
    this.param = options.param;
    this.retryAfterMs = options.retryAfterMs;
    this.headers = options.headers ?? {};
    this.metadata = options.metadata;
    this.detail = options.detail;
  }

  /** HTTP status of the answer. */
  get status(): number {
    return errorTable[this.code].status;
  }

  /** Whether the same target may be asked again. */
  get retry(): boolean {
    return errorTable[this.code].retry;
  }

  /** Whether the next target may be asked. */
  get fallback(): boolean {
    return errorTable[this.code].fallback;
  }

  /** Whether no waiting ends it: its client is told not to ask again. */
  get lasts(): boolean {
    return lasting.has(this.code);
  }

  /** The body that the client reads, in OpenAI's shape. */
  body(): ErrorBody {
    const { type, expose } = errorTable[this.code];
    const message = expose
      ? this.message
      : "XRouter failed on this request. Its log has the reason under the request id.";
    const { code, param = null, metadata } = this;
    return { error: { message, type, code, param, ...expose && metadata && { metadata } } };
  }

  /** The headers that the client reads, `retry-after` (whole seconds, rounded up) among them. */
  answerHeaders(): Record<string, string> {
    const headers = this.lasts
      ? { "x-should-retry": "false", ...this.headers }
      : { ...this.headers };
    const waitMs = this.retryAfterMs ?? (this.code === "upstream_busy" ? busyMs : undefined);
    return waitMs === undefined
      ? headers
      : { ...headers, "retry-after": String(Math.max(1, Math.ceil(waitMs / 1000))) };
  }
}

/**
 * Any thrown value as a {@linkcode RouterError}; what is none becomes `internal`.
 *
 * @param error What was thrown.
 * @param where What was being done, for the log: `plugin "auth" onRequest`.
 */
export function toRouterError(error: unknown, where: string): RouterError {
  if (error instanceof RouterError) return error;
  return new RouterError("internal", `${where}: ${reasonOf(error)}`, { cause: error });
}

/** A thrown value in a message: an error's words; what is none is shown, one level deep. */
export function reasonOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message || thrown.name : stackOf(thrown);
}

/**
 * Calls code of a plugin or a provider.
 *
 * @param member What is called, for the message.
 * @throws {Error} naming it, and what it throws.
 */
export function naming<Result>(member: string, call: () => Result): Result {
  try {
    return call();
  } catch (error) {
    throw new Error(`"${member}" throws: ${reasonOf(error)}`, { cause: error });
  }
}

/** A thrown value for the log: an error's stack; what is none is shown, one level deep. */
export function stackOf(thrown: unknown): string {
  if (thrown instanceof Error) return thrown.stack ?? thrown.message;
  return typeof thrown === "string" ? thrown : Deno.inspect(thrown, { depth: 0 });
}

/**
 * An error whose texts went through `change`; the same where that changed nothing.
 *
 * @param only Leave the message as it is, where that is XRouter's own.
 */
export function withTexts(
  error: RouterError,
  change: (text: string) => string,
  only?: "detail",
): RouterError {
  const { code, param, retryAfterMs, headers, metadata, cause } = error;
  const message = only === "detail" ? error.message : change(error.message);
  const detail = error.detail === undefined ? undefined : change(error.detail);
  if (message === error.message && detail === error.detail) return error;
  const changed = new RouterError(code, message, {
    headers,
    cause,
    ...(param !== undefined && { param }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    ...(metadata !== undefined && { metadata }),
    ...(detail !== undefined && { detail }),
  });
  if (error.spent !== undefined) changed.spent = error.spent;
  return changed;
}
