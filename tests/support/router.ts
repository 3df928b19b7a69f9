/**
 * A whole XRouter on a real socket and a real database file, for tests.
 *
 * @module
 */
import { type CodeLimits, codeLimits } from "../../core/code_limits.ts";
import { createLog } from "../../core/log.ts";
import { Program } from "../../core/program.ts";
import { openDatabase } from "../../core/store/database.ts";
import { KeyStore } from "../../core/store/keys.ts";

/** A running XRouter. */
export interface TestRouter extends AsyncDisposable {
  readonly url: string;
  /** A key that works. */
  readonly secret: string;
  readonly keyId: string;
  readonly program: Program;
  /** The folder of the database file, `xrouter.db`. */
  readonly folder: string;
  /** The database, for a second connection to it. */
  readonly databaseUrl: string;
  /** Every log line so far. */
  readonly log: Record<string, unknown>[];
  /** Waits for the next log line with this message. */
  logged(message: string): Promise<Record<string, unknown>>;
  /** Posts a chat request with the key. */
  chat(body: unknown, init?: RequestInit): Promise<Response>;
  /** Asks for a path with the key. */
  get(path: string): Promise<Response>;
  /** Stops accepting, drains and closes, so that everything is written; the database can be read. */
  stop(): Promise<void>;
  /** The rows of usage, once `stop` has been called or they are written otherwise. */
  usage(): Promise<Record<string, unknown>[]>;
}

/**
 * Starts XRouter with an own database, the given environment and the given configuration file.
 *
 * @param limits How long the code of plugins and providers may take; a test may shorten it later.
 * @param thread Writes run in a thread, as they do at `xrouter start`; to start one takes a while.
 */
export async function startRouter(
  env: Record<string, string> = {},
  file: object = {},
  limits: CodeLimits = codeLimits,
  thread = false,
): Promise<TestRouter> {
  const folder = await Deno.makeTempDir({ prefix: "xrouter-test-" });
  const url = env.DATABASE_URL ?? `file:${folder}/xrouter.db`;
  await Deno.writeTextFile(`${folder}/xrouter.json`, JSON.stringify(file));
  const log: Record<string, unknown>[] = [];
  const awaited = new Map<string, PromiseWithResolvers<Record<string, unknown>>>();
  const note = (line: Record<string, unknown>) => {
    log.push(line);
    awaited.get(line.message as string)?.resolve(line);
    awaited.delete(line.message as string);
  };
  const program = await Program.open(
    { DATABASE_URL: url, XROUTER_CONFIG: `${folder}/xrouter.json`, ...env },
    createLog((line) => note(JSON.parse(line))),
    limits,
    thread,
  );
  const { key, secret } = await new KeyStore(program.database).create({ name: "test" });
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    program.fetch,
  );
  const base = `http://127.0.0.1:${server.addr.port}`;
  let stopped: Promise<void> | undefined;
  const stop = () =>
    stopped ??= (async () => {
      const closed = server.shutdown();
      await program.drain();
      await closed;
      await program.close();
    })();
  return {
    url: base,
    secret,
    keyId: key.id,
    program,
    folder,
    databaseUrl: url,
    log,
    logged(message) {
      const waiting = awaited.get(message) ?? Promise.withResolvers();
      awaited.set(message, waiting);
      return waiting.promise;
    },
    chat: (body, init = {}) =>
      fetch(`${base}/v1/chat/completions`, {
        method: "POST",
        body: typeof body === "string" ? body : JSON.stringify(body),
        ...init,
        headers: {
          authorization: `Bearer ${secret}`,
          "content-type": "application/json",
          ...init.headers as Record<string, string> | undefined,
        },
      }),
    get: (path) => fetch(`${base}${path}`, { headers: { authorization: `Bearer ${secret}` } }),
    stop,
    async usage() {
      await stop();
      const database = await openDatabase({ url });
      try {
        const { rows } = await database.execute("SELECT * FROM usage ORDER BY request_id");
        return rows.map((row) => ({ ...row }));
      } finally {
        database.close();
      }
    },
    async [Symbol.asyncDispose]() {
      await stop();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

/** A question to the model `model`. */
export function ask(model: string, text = "one two three", rest: object = {}): object {
  return { model, messages: [{ role: "user", content: text }], ...rest };
}
