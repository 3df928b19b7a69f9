/**
 * The row that settles a request: the ledger's entry, and the record of its usage.
 *
 * @module
 */
import type { Attempt, Outcome, Usage } from "../plugin.ts";
import { costOf, type Price } from "../prices/price.ts";
import { priceColumns } from "./hold_writer.ts";

/** What became of one request, or of one of its tries. Tokens and amounts are absent where nothing is known of them. */
export interface Entry {
  /** A try's is its request's, a dot and its number. */
  readonly requestId: string;
  /** The id of the request, where this is one of its tries. */
  readonly tryOf?: string;
  /** Milliseconds since 1970 when the request arrived. */
  readonly createdAt: number;
  readonly keyId: string | undefined;
  readonly owner: string | undefined;
  readonly tag: string | undefined;
  readonly modelAsked: string | undefined;
  readonly stream: boolean;
  /** Input tokens as counted before the call. */
  readonly countedTokens: number | undefined;
  /** Not all of them could be counted: some of the input is no text. */
  readonly uncounted?: boolean;
  /** Calls to providers. */
  readonly attempts: number;
  /** The price, in the accounting currency. */
  readonly price: Price | undefined;
  /** Millionths of the accounting currency. */
  readonly cost: number | undefined;
  readonly outcome: Outcome;
  /** Why it went where it went; of a request whose way was plain, and of a try, nothing. */
  readonly route?: unknown;
}

const columns = [
  "request_id",
  "created_at",
  "key_id",
  "owner",
  "tag",
  "provider",
  "model",
  "model_asked",
  "model_served",
  "stream",
  "input_tokens",
  "output_tokens",
  "cached_tokens",
  "counted_tokens",
  "estimated",
  "cost",
  "charged",
  "currency",
  "price_input",
  "price_output",
  "price_cached",
  "state",
  "status",
  "error_code",
  "attempts",
  "duration_ms",
  "first_token_ms",
  "try_of",
  "route",
  "unanswered",
] as const;

/** The day is the database's, as those of the limits are. */
const placeholders = `(${columns.map(() => "?").join(", ")}, date('now'))`;

/** The most rows of one statement: SQLite takes at most 32,766 values. */
export const maxEntries = 500;

/**
 * The statement that settles requests. A group that was written although its answer was lost is
 * written again: once is enough. What was guessed of a request whose process seemed dead is replaced.
 */
export function settlement(entries: readonly Entry[]): {
  sql: string;
  args: (string | number | null)[];
} {
  return {
    sql: `INSERT INTO usage (${columns.join(", ")}, charged_on) VALUES ${
      `${placeholders}, `.repeat(entries.length - 1)
    }${placeholders} ON CONFLICT (request_id) DO NOTHING`,
    args: entries.flatMap(toRow),
  };
}

function toRow(entry: Entry): (string | number | null)[] {
  const { outcome, price } = entry;
  const { usage, target } = outcome;
  return [
    entry.requestId,
    entry.createdAt,
    entry.keyId ?? null,
    entry.owner ?? null,
    entry.tag ?? null,
    target?.provider ?? null,
    target?.model ?? null,
    entry.modelAsked ?? null,
    usage === undefined ? null : outcome.servedModel ?? target?.model ?? null,
    entry.stream ? 1 : 0,
    usage?.input ?? entry.countedTokens ?? null,
    usage?.output ?? null,
    usage?.cached ?? null,
    entry.uncounted ? null : entry.countedTokens ?? null,
    usage?.estimated === false ? 0 : 1,
    entry.cost ?? null,
    outcome.unanswered ? 0 : entry.cost ?? 0,
    ...priceColumns(price),
    outcome.state,
    outcome.status,
    outcome.error?.code ?? null,
    entry.attempts,
    Math.round(outcome.durationMs),
    outcome.firstChunkMs === undefined ? null : Math.round(outcome.firstChunkMs),
    entry.tryOf ?? null,
    entry.route === undefined ? null : JSON.stringify(entry.route),
    outcome.unanswered ? 1 : 0,
  ];
}

/** What a request and its tries have in common. */
export type Asked = Omit<
  Entry,
  "tryOf" | "attempts" | "price" | "cost" | "outcome" | "route"
>;

/**
 * The entry of a try whose answer was of no use although it was paid for.
 *
 * @param number Its place among the tries, from 1.
 * @param price In the accounting currency; absent where none is known.
 */
export function entryOfTry(
  asked: Asked,
  { target, error, durationMs = 0, firstChunkMs, unanswered }: Attempt,
  usage: Usage,
  number: number,
  price: Price | undefined,
): Entry {
  // What ended without an error was given up: another one was quicker.
  const { code, status, message } = error ?? { code: "aborted", status: 499, message: "" };
  return {
    ...asked,
    requestId: `${asked.requestId}.${number}`,
    tryOf: asked.requestId,
    attempts: 1,
    price,
    cost: price && costOf(usage, price),
    outcome: {
      state: code === "aborted" ? "aborted" : "failed",
      status,
      error: { code, message },
      target,
      usage,
      durationMs,
      ...(firstChunkMs !== undefined && { firstChunkMs }),
      ...(unanswered && { unanswered }),
    },
  };
}
