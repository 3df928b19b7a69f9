import { DatabaseSync, type SQLInputValue } from "node:sqlite";

interface Value {
  type: "null" | "integer" | "float" | "text";
  value?: string | number;
}
interface Statement {
  sql?: string;
  "sql_id"?: number;
  args?: Value[];
}
interface Condition {
  type: "ok" | "error" | "not" | "and" | "or";
  step: number;
  cond: Condition;
  conds: Condition[];
}
interface StreamRequest extends Statement {
  type: "execute" | "batch" | "sequence" | "store_sql" | "close_sql" | "close";
  stmt: Statement;
  batch: { steps: { stmt: Statement; condition?: Condition }[] };
}
interface Stream {
  database: DatabaseSync;
  stored: Map<number, string>;
}

/** A libSQL server on 127.0.0.1, so that the remote client meets a real socket and real SQL. */
export interface HranaServer extends AsyncDisposable {
  /** "127.0.0.1" and the port. */
  host: string;
  /** The `authorization` header of each request. */
  authorizations: (string | null)[];
  /** So many of the next requests are carried out, and their answers lost on the way. */
  answersToLose: number;
}

/**
 * Serves the database `file` over the Hrana 2 protocol (HTTP, JSON); with `token`, answers 401 to
 * any other. `port` is 0 for a free one. Blobs, named arguments and row cursors are left out: nothing here sends them.
 * Protocol: the Hrana 2 specification in the libSQL repository.
 */
export function serveHrana(file: string, token?: string, port = 0): HranaServer {
  const streams = new Map<string, Stream>();
  const authorizations: (string | null)[] = [];
  const options = { hostname: "127.0.0.1", port, onListen() {} };
  const server = Deno.serve(options, async (request) => {
    const authorization = request.headers.get("authorization");
    authorizations.push(authorization);
    if (token !== undefined && authorization !== `Bearer ${token}`) {
      return new Response(`wrong token: ${authorization}`, { status: 401 });
    }
    const body: { baton: string | null; requests: StreamRequest[] } = await request.json();
    let baton: string | null = body.baton ?? crypto.randomUUID();
    const stream = streams.get(baton) ??
      { database: new DatabaseSync(file, { timeout: 5_000 }), stored: new Map() };
    streams.set(baton, stream);
    const results = body.requests.map((item) => {
      try {
        return { type: "ok", response: { type: item.type, ...answer(stream, item) } };
      } catch (error) {
        return { type: "error", error: toError(error) };
      }
    });
    if (body.requests.some(({ type }) => type === "close")) {
      stream.database.close();
      streams.delete(baton);
      baton = null;
    }
    if (hrana.answersToLose > 0) {
      hrana.answersToLose--;
      return new Response("the answer is lost", { status: 502 });
    }
    return Response.json({ baton, base_url: null, results });
  });
  const hrana: HranaServer = {
    host: `127.0.0.1:${server.addr.port}`,
    authorizations,
    answersToLose: 0,
    async [Symbol.asyncDispose]() {
      await server.shutdown();
      for (const { database } of streams.values()) database.close();
    },
  };
  return hrana;
}

function answer(stream: Stream, request: StreamRequest): { result?: unknown } {
  switch (request.type) {
    case "execute":
      return { result: execute(stream, request.stmt) };
    case "batch":
      return { result: batch(stream, request.batch.steps) };
    case "sequence":
      stream.database.exec(textOf(stream, request));
      return {};
    case "store_sql":
      stream.stored.set(request.sql_id!, request.sql!);
      return {};
    case "close_sql":
      stream.stored.delete(request.sql_id!);
      return {};
    case "close":
      return {};
  }
}

function batch(stream: Stream, steps: StreamRequest["batch"]["steps"]): unknown {
  const results: unknown[] = [];
  const errors: unknown[] = [];
  const holds = (condition: Condition): boolean => {
    if (condition.type === "ok") return results[condition.step] !== null;
    if (condition.type === "error") return errors[condition.step] !== null;
    if (condition.type === "not") return !holds(condition.cond);
    if (condition.type === "and") return condition.conds.every(holds);
    return condition.conds.some(holds);
  };
  for (const { stmt, condition } of steps) {
    let result: unknown = null;
    let failure: unknown = null;
    if (!condition || holds(condition)) {
      try {
        result = execute(stream, stmt);
      } catch (error) {
        failure = toError(error);
      }
    }
    results.push(result);
    errors.push(failure);
  }
  return { step_results: results, step_errors: errors };
}

function execute(stream: Stream, statement: Statement): unknown {
  const prepared = stream.database.prepare(textOf(stream, statement));
  prepared.setReadBigInts(true);
  const args = (statement.args ?? []).map(fromValue);
  const columns = prepared.columns().map(({ name }) => name);
  if (columns.length === 0) {
    const { changes, lastInsertRowid } = prepared.run(...args);
    return {
      cols: [],
      rows: [],
      affected_row_count: Number(changes),
      last_insert_rowid: String(lastInsertRowid),
    };
  }
  const rows = prepared.all(...args).map((row) => columns.map((name) => toValue(row[name])));
  return { cols: columns.map((name) => ({ name })), rows, affected_row_count: 0 };
}

function textOf(stream: Stream, { sql, sql_id: id }: Statement): string {
  return sql ?? stream.stored.get(id!)!;
}

function fromValue({ type, value }: Value): SQLInputValue {
  if (type === "null") return null;
  return type === "integer" ? BigInt(value!) : value!;
}

function toValue(value: unknown): Value {
  if (value === null || value === undefined) return { type: "null" };
  if (typeof value === "bigint") return { type: "integer", value: String(value) };
  return typeof value === "number"
    ? { type: "float", value }
    : { type: "text", value: String(value) };
}

function toError(error: unknown): { message: string; code: string } {
  return { message: error instanceof Error ? error.message : String(error), code: "SQLITE_ERROR" };
}
