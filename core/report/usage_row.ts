import type { Row } from "@libsql/client";

/** One request, or one of its tries. Times are milliseconds, amounts millionths of the currency. */
export interface UsageRow {
  /** A try's is its request's, a dot and its number. */
  readonly requestId: string;
  /** The request's id, where this is a try whose answer was not used though it was paid for. */
  readonly tryOf: string | null;
  /** When it arrived, since 1970. */
  readonly createdAt: number;
  readonly keyId: string | null;
  readonly owner: string | null;
  readonly tag: string | null;
  /** Null: no provider was reached. */
  readonly provider: string | null;
  /** The provider's id of it. */
  readonly model: string | null;
  /** As the client wrote it. */
  readonly modelAsked: string | null;
  /** As the answer names it. */
  readonly modelServed: string | null;
  readonly stream: boolean;
  readonly inputTokens: number | null;
  readonly outputTokens: number | null;
  readonly cachedTokens: number | null;
  /** The tokens were counted by XRouter, not reported. */
  readonly estimated: boolean;
  /** Null: no price known. */
  readonly cost: number | null;
  readonly charged: number;
  readonly currency: string | null;
  /** Per million tokens. Null: none known. */
  readonly price: Readonly<Record<"input" | "output" | "cached", number>> | null;
  /** `open` while it is under way, otherwise how it ended. */
  readonly state: string;
  /** HTTP status of the answer; null while it is under way. */
  readonly status: number | null;
  readonly errorCode: string | null;
  readonly attempts: number;
  /** From arrival to the last byte, a try's from its call; null while it is under way. */
  readonly durationMs: number | null;
  readonly firstTokenMs: number | null;
  /** Why it went where it went; null where its way was plain. */
  readonly route: Readonly<Record<string, unknown>> | null;
}

/** The columns of `usage` that {@link toUsageRow} reads. */
export const rowColumns: string = [
  "request_id, created_at, key_id, owner, tag, provider, model, model_asked, model_served, stream",
  "input_tokens, output_tokens, cached_tokens, estimated, cost, charged, currency",
  "price_input, price_output, price_cached, state, status, error_code, attempts",
  "duration_ms, first_token_ms, try_of, route",
].join(", ");

/** The same of `holds`, which has the requests that are under way. */
export const openColumns: string = [
  "request_id, opened_at, key_id, owner, tag, provider, model, model_asked, NULL, stream",
  "input_tokens, output_tokens, NULL, 1, NULL, 0, currency",
  "price_input, price_output, price_cached, 'open', NULL, NULL, attempts",
  "NULL, NULL, NULL, NULL",
].join(", ");

/** A request from its columns. */
export function toUsageRow(row: Row): UsageRow {
  const text = (name: string) => row[name] as string | null;
  const number = (name: string) => row[name] as number | null;
  return {
    requestId: text("request_id")!,
    tryOf: text("try_of"),
    createdAt: number("created_at")!,
    keyId: text("key_id"),
    owner: text("owner"),
    tag: text("tag"),
    provider: text("provider"),
    model: text("model"),
    modelAsked: text("model_asked"),
    modelServed: text("model_served"),
    stream: row.stream === 1,
    inputTokens: number("input_tokens"),
    outputTokens: number("output_tokens"),
    cachedTokens: number("cached_tokens"),
    estimated: row.estimated === 1,
    cost: number("cost"),
    charged: number("charged")!,
    currency: text("currency"),
    price: row.price_input === null ? null : {
      input: number("price_input")!,
      output: number("price_output")!,
      cached: number("price_cached")!,
    },
    state: text("state")!,
    status: number("status"),
    errorCode: text("error_code"),
    attempts: number("attempts")!,
    durationMs: number("duration_ms"),
    firstTokenMs: number("first_token_ms"),
    route: JSON.parse(text("route") ?? "null"),
  };
}
