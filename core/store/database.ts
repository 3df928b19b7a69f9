import { type Client, createClient, LibsqlError } from "@libsql/client";
import { dirname, resolve } from "node:path";
import { inTime } from "../code_limits.ts";
import { FileClient, isBusy } from "./file_client.ts";
import { PreparedWrites } from "./prepared_writes.ts";
import { WritingThread } from "./writing_thread.ts";

/**
 * How long a statement waits for another process's write lock on a file. But for what the writing
 * thread does, libSQL waits on the thread of the event loop: then all open answers wait as well.
 */
const busyTimeoutMs = 250;

/** How long {@link retryWhileBusy} goes on. */
const busyDeadlineMs = 30_000;

/** Milliseconds that are left to others between two tries of what found the database locked. */
export const busyPauseMs = 100;

/** How long a close waits until the log is copied into the file. */
const checkpointMs = 2_000;

/** How long one call to a remote database may take, its answer's body included. */
const remoteDeadlineMs = 10_000;

const remoteSchemes = new Set(["libsql", "http", "https", "ws", "wss"]);

/**
 * Opens the database that `url` names and proves that it answers. `file:` keeps everything in one
 * local file, whose folder is made when missing; `libsql:`, `http(s):` and `ws(s):` name a server,
 * which is always spoken to over HTTP, so that every call has a deadline and no socket is held.
 *
 * A file is opened over one connection, and a second for statements that are prepared once (see
 * {@link FileClient}), with `thread` in a thread of their own: libSQL's calls are synchronous, so more
 * connections would add nothing. While a `client.transaction()` is open, every other call of the
 * same client waits; requests use `execute` and `batch`.
 *
 * @throws Error that names DATABASE_URL and the cure, and holds neither the token nor the query
 */
export function openDatabase(
  { url, authToken, thread = false }: { url: string; authToken?: string; thread?: boolean },
): Promise<Client> {
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(url)?.[1]?.toLowerCase();
  if (scheme === "file") return openFile(url, thread);
  if (scheme !== undefined && remoteSchemes.has(scheme)) return openRemote(url, authToken);
  const found = scheme === undefined ? "has no scheme" : `has the unknown scheme "${scheme}:"`;
  return Promise.reject(
    new Error(
      `DATABASE_URL ${found}. Write "file:data/xrouter.db" for a local file, ` +
        `or a "libsql:", "https:", "http:", "wss:" or "ws:" address`,
    ),
  );
}

/** Resolves when the database answers a read that reaches its schema; rejects when it does not. */
export async function databaseAlive(client: Client): Promise<void> {
  // A bare SELECT 1 never touches the file, so it would also succeed on a broken one.
  await client.execute("SELECT 1 FROM sqlite_schema LIMIT 1");
}

/** Closes a database. What stands in a local file's log is in the file then, unless others have it open. */
export async function closeDatabase(client: Client): Promise<void> {
  if (client.protocol === "file") {
    // Not behind a write that is never answered: to close it settles that too.
    const copied = client.execute("PRAGMA wal_checkpoint(TRUNCATE)");
    await inTime(copied, checkpointMs).catch(() => {});
  }
  client.close();
}

/**
 * Runs `action` again while another process holds the write lock (SQLITE_BUSY), for up to 30 s or
 * `deadlineMs`, and then rejects with what it rejected with. `action` must be safe to repeat.
 */
export async function retryWhileBusy<Result>(
  action: () => Promise<Result>,
  deadlineMs: number = busyDeadlineMs,
): Promise<Result> {
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    try {
      return await action();
    } catch (error) {
      if (!isBusy(error) || performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, busyPauseMs));
    }
  }
}

async function openFile(url: string, thread: boolean): Promise<Client> {
  const path = filePath(url);
  const folder = dirname(path);
  try {
    await Deno.mkdir(folder, { recursive: true });
  } catch (error) {
    throw new Error(
      `DATABASE_URL names "${path}", but its folder "${folder}" cannot be made: ` +
        `${messageOf(error)}. Make the folder yourself, or choose a path that XRouter may write to`,
      { cause: error },
    );
  }

  let client: Client | undefined;
  try {
    // To copy the log stops all writes for milliseconds: every 32 MB, and not every 4.
    const pragmas = "PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 8000";
    const Writes = thread ? WritingThread : PreparedWrites;
    const file = new FileClient(
      createClient({ url: absolute(url, path), concurrency: 1, timeout: busyTimeoutMs }),
      pragmas,
      path === ":memory:" ? undefined : new Writes(resolve(path), busyTimeoutMs, pragmas),
    );
    client = file;
    await retryWhileBusy(() => file.execute("PRAGMA journal_mode = WAL"));
    await file.executeMultiple(pragmas);
    await databaseAlive(file);
    // A file that may only be read opens without an error. This write is never carried out.
    const write = "BEGIN IMMEDIATE; PRAGMA user_version = 1; ROLLBACK";
    await retryWhileBusy(() => file.executeMultiple(write));
    return file;
  } catch (error) {
    client?.close();
    throw new Error(`DATABASE_URL names "${path}", ${fileProblem(error)}`, { cause: error });
  }
}

async function openRemote(url: string, authToken: string | undefined): Promise<Client> {
  let client: Client | undefined;
  try {
    client = createClient({
      url: url.replace(/^ws/i, "http"),
      fetch: async (request: Request) => {
        const answer = await fetch(request, { signal: AbortSignal.timeout(remoteDeadlineMs) });
        if (answer.ok || authToken === undefined) return answer;
        // A refusal may repeat the token, and libSQL puts its words into the error's.
        return new Response((await answer.text()).replaceAll(authToken, "[token]"), answer);
      },
      ...(authToken === undefined ? {} : { authToken }),
    });
    await databaseAlive(client);
    return client;
  } catch (error) {
    client?.close();
    const address = url.replace(/[?#].*$/s, "").replace(/\/\/[^/]*@/, "//");
    // No cause: what a server sends back may repeat the token it was given.
    throw new Error(`DATABASE_URL names "${address}", ${remoteProblem(error, authToken)}`);
  }
}

/** The URL with an absolute path, so that a new connection finds the same file in any folder. */
function absolute(url: string, path: string): string {
  const query = /[?#].*$/s.exec(url)?.[0] ?? "";
  return path === ":memory:" ? url : `file:${encodeURIComponent(resolve(path))}${query}`;
}

/**
 * The path in a `file:` URL: "file:relative", "file:/absolute" or "file:///absolute".
 *
 * @throws Error that names DATABASE_URL and the cure
 */
export function filePath(url: string): string {
  const encoded = url.slice("file:".length).replace(/[?#].*$/s, "");
  const path = /^(?:\/\/(?:localhost)?(?=\/))?((?!\/\/).+)$/is.exec(encoded)?.[1];
  try {
    if (path !== undefined) return decodeURIComponent(path);
  } catch {
    // Broken percent encoding is told below, together with a missing path and a foreign host.
  }
  throw new Error(
    "DATABASE_URL names no path that can be read. Write " +
      '"file:data/xrouter.db" or "file:///var/lib/xrouter.db", and "%25" for a percent sign',
  );
}

/** The path of the file that `url` names; `undefined` for a server's, or what lies in memory. */
export function localFile(url: string): string | undefined {
  const path = /^file:/i.test(url) ? filePath(url) : undefined;
  return path === ":memory:" ? undefined : path;
}

function fileProblem(error: unknown): string {
  const code = errorCode(error);
  if (code === "SQLITE_NOTADB" || code === "SQLITE_CORRUPT") {
    return "which is not a database, or a damaged one. " +
      "Name a libSQL file, or a path where no file exists yet";
  }
  if (isBusy(error)) {
    return "which another process keeps locked. Stop that process, then start again";
  }
  return `which cannot be opened: ${messageOf(error)}. ` +
    "Make sure that it is a file, and that XRouter may write to it and to its folder";
}

function remoteProblem(error: unknown, authToken: string | undefined): string {
  if (error instanceof DOMException && error.name === "TimeoutError") {
    return `which gave no answer within ${remoteDeadlineMs / 1000} s. ` +
      "Check the address, and that the server is well";
  }
  const message = messageOf(error);
  if (/HTTP status 40[13]/.test(message)) {
    return "which refused the auth token. Take a valid token for this database";
  }
  const told = (authToken ? message.replaceAll(authToken, "[token]") : message)
    .replaceAll(/\/\/[^/\s]*@/g, "//").replaceAll(/\?[^\s'"]*/g, "");
  return `which cannot be used: ${told}. Check host and port, and that the server runs`;
}

function errorCode(error: unknown): string | undefined {
  return error instanceof LibsqlError ? error.code : undefined;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
