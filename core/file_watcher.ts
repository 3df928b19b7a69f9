/**
 * Tells when files change.
 *
 * @module
 */
import { resolve } from "node:path";

/** Milliseconds of quiet after a change: editors and copies write in several steps. */
const quietMs = 150;

/** The most milliseconds that a change waits for quiet. */
const mostMs = 500;

/** Milliseconds between two looks at what is told by no watcher. */
const lookMs = 250;

/** Looks between two tries to be told of a folder after all: what the system lacked it may have now. */
const looksPerTry = 40;

/** What the names of files that belong to a database have after its own. */
const besideDatabase = /^(-wal|-shm|-journal|-process-.*)?$/;

/** What is watched; each may vanish and return. */
export interface WatchedPaths {
  /** Folders, with all that lies in them. */
  readonly folders: readonly string[];
  /** A single file, if there is one, or a link to one. */
  readonly file: string | undefined;
  /** A database's file, if there is one: it may lie in one of the folders, and is written all the time. */
  readonly database?: string | undefined;
}

/**
 * Watches folders and a file. What cannot be watched is passed over.
 *
 * What happens within the folders the system tells. The file, and whether the folders are still the
 * same, is looked at four times a second: to be told of them, one would have to watch the folders
 * that they lie in, and be woken by each write to a database or a log beside them.
 */
export class FileWatcher {
  readonly #changed: () => void;
  readonly #folders: readonly string[];
  readonly #file: string | undefined;
  /** By folder where in it the database lies, by the folder's own name. */
  readonly #databases: readonly string[];
  readonly #watchers = new Map<string, Deno.FsWatcher>();
  /** Folders of which the system does not tell. */
  readonly #untold = new Set<string>();
  /** What was at each path when it was looked at last. */
  readonly #identities = new Map<string, string | undefined>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #lookTimer: ReturnType<typeof setTimeout> | undefined;
  #looking: Promise<void> | undefined;
  #looks = 0;
  /** When the first change came that has not been told, by `performance.now()`. */
  #since: number | undefined;
  #closed = false;

  /** @param changed Told of changes, once for those that come together. */
  constructor({ folders, file, database }: WatchedPaths, changed: () => void) {
    this.#changed = changed;
    this.#folders = [...new Set(folders.map((folder) => resolve(folder)))];
    this.#file = file && resolve(file);
    const own = database && realPath(resolve(database));
    this.#databases = own === undefined ? [] : this.#folders.flatMap((folder) => {
      const root = realPath(folder);
      return root !== undefined && own.startsWith(root) ? folder + own.slice(root.length) : [];
    });
    for (const folder of this.#folders) {
      this.#identities.set(folder, identityOf(statOrNothing(folder)));
      this.#watch(folder);
    }
    if (this.#file !== undefined) {
      this.#identities.set(this.#file, versionOf(statOrNothing(this.#file)));
    }
    this.#lookLater();
  }

  /** Whether there is something to watch: of folders some systems tell nothing. */
  get watching(): boolean {
    return this.#watchers.size > 0 || this.#file !== undefined;
  }

  /** Watches no more. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#lookTimer);
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
    await this.#looking;
  }

  #lookLater(): void {
    this.#lookTimer = setTimeout(() => {
      this.#looking = this.#look().then(() => {
        if (!this.#closed) this.#lookLater();
      });
    }, lookMs);
  }

  async #look(): Promise<void> {
    if (++this.#looks % looksPerTry === 0) this.#untold.clear();
    for (const folder of this.#folders) {
      const isOther = this.#isOther(folder, identityOf(await stat(folder)));
      if (this.#closed) return;
      if (isOther) {
        // A watcher goes with the folder that it watches, even if another one has its name by now.
        this.#watchers.get(folder)?.close();
        this.#watchers.delete(folder);
        this.#untold.delete(folder);
      } else if (
        !this.#watchers.has(folder) && !this.#untold.has(folder) && this.#watch(folder)
      ) {
        // Only at the next look: a watcher that is being closed takes one along that is opened at once.
        this.#note();
      }
    }
    if (this.#file !== undefined) this.#isOther(this.#file, versionOf(await stat(this.#file)));
  }

  /** Notes what is at a path now. @returns Whether it was something else until now. */
  #isOther(path: string, identity: string | undefined): boolean {
    if (identity === this.#identities.get(path)) return false;
    this.#identities.set(path, identity);
    this.#note();
    return true;
  }

  /** @returns Whether the system tells of what happens there. */
  #watch(folder: string): boolean {
    if (this.#identities.get(folder) === undefined) return false;
    try {
      const watcher = Deno.watchFs(folder, { recursive: true });
      this.#watchers.set(folder, watcher);
      void this.#listen(watcher);
      return true;
    } catch {
      // It lies inside a compiled binary, or this system watches nothing.
      this.#untold.add(folder);
      return false;
    }
  }

  async #listen(watcher: Deno.FsWatcher): Promise<void> {
    try {
      for await (const { kind, paths } of watcher) {
        if (kind !== "access" && !this.#areDatabase(paths)) this.#note();
      }
    } catch {
      // What it watched cannot be watched any more.
    }
  }

  /** Whether paths are the database's, or those of files that it keeps beside, such as its log. */
  #areDatabase(paths: readonly string[]): boolean {
    // Where events were lost, the system tells of a change without a path.
    return paths.length > 0 &&
      paths.every((path) =>
        this.#databases.some((database) =>
          path.startsWith(database) && besideDatabase.test(path.slice(database.length))
        )
      );
  }

  #note(): void {
    if (this.#closed) return;
    const now = performance.now();
    this.#since ??= now;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#since = undefined;
      this.#changed();
    }, Math.max(0, Math.min(quietMs, this.#since + mostMs - now)));
  }
}

function realPath(path: string): string | undefined {
  try {
    return Deno.realPathSync(path);
  } catch {
    return undefined;
  }
}

function statOrNothing(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.statSync(path);
  } catch {
    return undefined;
  }
}

function stat(path: string): Promise<Deno.FileInfo | undefined> {
  return Deno.stat(path).catch(() => undefined);
}

/** What tells a file or folder from another of the same name; `undefined` where there is none. */
function identityOf(info: Deno.FileInfo | undefined): string | undefined {
  return info && `${info.dev} ${info.ino} ${info.birthtime?.getTime()}`;
}

/** What tells a file's content, and who may read it, from what was before. */
function versionOf(info: Deno.FileInfo | undefined): string | undefined {
  if (info === undefined) return undefined;
  // The runtime's ctime counts whole seconds.
  const { mode, mtime, ctime, size } = info;
  return `${identityOf(info)} ${mode} ${mtime?.getTime()} ${ctime?.getTime()} ${size}`;
}
