/**
 * Tells at once which processes on a local database file have died.
 *
 * Each process has a file beside the database, `xrouter.db-process-ID`, and locks it for its life.
 * The operating system frees the lock however the process ends, and shows it to every container
 * that shares the folder, unlike process ids. All of them run on one kernel, as SQLite's WAL files
 * need anyway.
 *
 * @module
 */
import type { Client } from "@libsql/client";
import { basename, dirname, join } from "node:path";
import type { Log } from "../log.ts";
import { timeOrderedId } from "../time_ordered_id.ts";

/** What somebody else keeps there under a similar name is not touched. */
const idPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The mark of a living process. */
export class ProcessLock {
  /** What its holds carry; no other process ever has it. */
  readonly id: string;
  readonly #databasePath: string;
  #file: Deno.FsFile | undefined;

  private constructor(id: string, databasePath: string, file: Deno.FsFile) {
    this.id = id;
    this.#databasePath = databasePath;
    this.#file = file;
  }

  /**
   * Marks this process as one that lives.
   *
   * @param log Told when the mark cannot be made.
   * @returns `undefined` where only leases tell who lives: the database is on a server or in memory,
   * or its folder takes no such file. Rejects when the database does.
   */
  static async take(database: Client, log: Log): Promise<ProcessLock | undefined> {
    if (database.protocol !== "file") return undefined;
    const { rows } = await database.execute("PRAGMA database_list");
    const databasePath = rows[0]?.file as string | null;
    if (!databasePath) return undefined;
    try {
      for (let tries = 0; tries < 5; tries++) {
        const id = timeOrderedId(Date.now());
        const file = await makeLocked(pathOf(databasePath, id));
        if (file !== undefined) return new ProcessLock(id, databasePath, file);
      }
      throw new Error("Every file that was made is locked by another process");
    } catch (error) {
      log.warn(
        "no file can be locked beside the database, so that the holds of a process that is killed " +
          "wait until XROUTER_LEASE_SECONDS are over. Let XRouter make files in the database's " +
          "folder, on a file system that has locks",
        { error: String(error) },
      );
      return undefined;
    }
  }

  /**
   * Settles for the dead. Nobody else takes up the same ones meanwhile; once `settle` has resolved,
   * their files are removed.
   *
   * @param settle Gets the ids of processes on this database that are surely dead, and of those
   * that are surely not, this one among them.
   * @returns What `settle` returns. Rejects when it does.
   */
  async forDead<Result>(
    settle: (deadIds: readonly string[], livingIds: readonly string[]) => Promise<Result>,
  ): Promise<Result> {
    const { dead, living } = await this.#look();
    try {
      const result = await settle([...dead.keys()], living);
      for (const id of dead.keys()) await tryRemove(pathOf(this.#databasePath, id));
      return result;
    } finally {
      for (const file of dead.values()) file.close();
    }
  }

  /**
   * Ends the mark. Safe to call twice.
   *
   * @param settled Nothing of this process is open. Otherwise its file stays, for the next look.
   */
  async release(settled: boolean): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    if (file === undefined) return;
    // While it is locked, so that nobody takes this end for a death.
    if (settled) await tryRemove(pathOf(this.#databasePath, this.id));
    file.close();
  }

  /** The files of dead processes, locked, by id; and the ids of the living. */
  async #look(): Promise<{ dead: Map<string, Deno.FsFile>; living: string[] }> {
    const dead = new Map<string, Deno.FsFile>();
    const living = [this.id];
    const folder = dirname(this.#databasePath);
    const prefix = pathOf(basename(this.#databasePath), "");
    try {
      for await (const { name, isFile } of Deno.readDir(folder)) {
        const id = name.slice(prefix.length);
        if (!isFile || !name.startsWith(prefix) || !idPattern.test(id) || id === this.id) continue;
        const file = await lockDead(join(folder, name));
        if (file === "living") living.push(id);
        else if (file !== undefined) dead.set(id, file);
      }
    } catch {
      // A folder that cannot be listed: the leases tell.
    }
    return { dead, living };
  }
}

function pathOf(databasePath: string, id: string): string {
  return `${databasePath}-process-${id}`;
}

/** Makes a file and locks it; `undefined` when somebody took it for a dead process' in between. */
async function makeLocked(path: string): Promise<Deno.FsFile | undefined> {
  const file = await Deno.open(path, { createNew: true, write: true });
  try {
    // Nobody makes a file of this name again: if it is still there, it is this one.
    if (await file.tryLock(true) && await Deno.lstat(path)) return file;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) {
      file.close();
      await tryRemove(path);
      throw error;
    }
  }
  file.close();
  return undefined;
}

/** Locks the file of a process if that is dead; `undefined` where nobody can tell. */
async function lockDead(path: string): Promise<Deno.FsFile | "living" | undefined> {
  let file: Deno.FsFile | undefined;
  try {
    // To read is enough to lock, and allowed where another user made the file.
    file = await Deno.open(path);
    if (await file.tryLock(true)) return file;
    file.close();
    return "living";
  } catch {
    // It has just been removed, or cannot be opened: the lease tells.
  }
  file?.close();
  return undefined;
}

async function tryRemove(path: string): Promise<void> {
  try {
    await Deno.remove(path);
  } catch {
    // It is gone, or it stays: no hold carries its id any more.
  }
}
