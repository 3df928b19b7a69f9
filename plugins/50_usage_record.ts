/**
 * Records every exchange: one row, whatever happened.
 *
 * @module
 */
import { definePlugin, type Exchange, type Outcome } from "xrouter/plugin";
import { costOf, toMillionths } from "../core/price.ts";
import { GroupedWriter } from "../core/store/grouped_writer.ts";

const columns = [
  "request_id",
  "created_at",
  "key_id",
  "provider",
  "model_asked",
  "model_served",
  "stream",
  "input_tokens",
  "output_tokens",
  "cached_tokens",
  "estimated",
  "cost",
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
] as const;

type Row = readonly (string | number | null)[];

/** SQLite takes at most 32,766 values in one statement. */
const maxRows = 500;

export default definePlugin({
  name: "usage-record",
  setup(_config, host) {
    const writer = new GroupedWriter<Row>({
      maxRows,
      write: async (rows) => {
        const values = `(${columns.map(() => "?").join(",")})`;
        await host.database.execute({
          // A group that was written although its answer was lost is written again: once is enough.
          sql: `INSERT INTO usage (${columns.join(",")}) VALUES ${
            rows.map(() => values).join(",")
          } ON CONFLICT (request_id) DO NOTHING`,
          args: rows.flat(),
        });
      },
      onError: (error, pending) =>
        host.log.error("usage cannot be written; it is kept and tried again", {
          error: String(error),
          pending,
        }),
    });
    return {
      onFinish(x, outcome) {
        writer.add(toRow(x, outcome, host.currency));
      },
      ready() {
        if (writer.failing) throw new Error(`${writer.pending} rows of usage wait to be written`);
      },
      dispose: () => writer.close(),
    };
  },
});

function toRow(x: Exchange, outcome: Outcome, currency: string): Row {
  const { usage, target } = outcome;
  const known = target?.facts.price;
  // A price in another currency than the accounts' says nothing about what the accounts are charged.
  const price = known?.currency === currency ? known : undefined;
  const asked = x.parsedBody;
  return [
    x.id,
    x.startedAt,
    x.state.caller?.id ?? null,
    target?.provider ?? null,
    asked?.model ?? null,
    usage === undefined ? null : outcome.servedModel ?? target?.model ?? null,
    asked?.stream === true ? 1 : 0,
    usage?.input ?? x.state.inputTokens ?? null,
    usage?.output ?? null,
    usage?.cached ?? null,
    usage?.estimated === false ? 0 : 1,
    usage === undefined || price === undefined ? null : costOf(usage, price),
    price?.currency ?? null,
    price === undefined ? null : toMillionths(price.input),
    price === undefined ? null : toMillionths(price.output),
    price === undefined ? null : toMillionths(price.cached ?? price.input),
    outcome.state,
    outcome.status,
    outcome.error?.code ?? null,
    x.attempts.length,
    Math.round(outcome.durationMs),
    outcome.firstChunkMs === undefined ? null : Math.round(outcome.firstChunkMs),
  ];
}
