/**
 * Tells when files change.
 *
 * @module
 */
import { basename, dirname, resolve } from "node:path";

/** Milliseconds of quiet after a change: editors and copies write in several steps. */
const quietMs = 150;

/** The most milliseconds that a change waits for quiet. */
const mostMs = 500;

/** Kubernetes exchanges mounted files by this link beside them. */
const mountLink = "..data";

/** What is watched. */
export interface WatchedPaths {
  /** Folders, with all that lies in them; each may vanish and return. */
  readonly folders: readonly string[];
  /** A single file, if there is one; its folder must stay. */
  readonly file: string | undefined;
}

/** Watches folders and a file. What cannot be watched is passed over. */
export class FileWatcher {
  readonly #changed: () => void;
  readonly #watchers = new Map<string, { watcher: Deno.FsWatcher; identity: string }>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When the first change came that has not been told, by `performance.now()`. */
  #since: number | undefined;
  #closed = false;

  /** @param changed Told of changes, once for those that come together. */
  constructor({ folders, file }: WatchedPaths, changed: () => void) {
    this.#changed = changed;
    // A folder that vanishes takes its watcher along: its parent's sees it return.
    const names = new Map<string, string[]>();
    const note = (path: string) => {
      const parent = dirname(path);
      names.set(parent, [...names.get(parent) ?? [], basename(path)]);
    };
    for (const folder of folders) {
      this.#watch(resolve(folder), true, () => true);
      note(resolve(folder));
    }
    if (file !== undefined) {
      note(resolve(file));
      note(resolve(dirname(file), mountLink));
    }
    const watched = new Set(folders.map((folder) => resolve(folder)));
    for (const [parent, children] of names) {
      this.#watch(parent, false, (path) => {
        if (!children.includes(basename(path))) return false;
        const folder = resolve(parent, basename(path));
        if (watched.has(folder)) this.#watch(folder, true, () => true);
        return true;
      });
    }
  }

  /** How many folders are watched. */
  get size(): number {
    return this.#watchers.size;
  }

  /** Watches no more. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const { watcher } of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  /**
   * Watches a folder, in place of another one that had its name. The same one is left alone: a
   * watcher that is closed may take a new one of the same folder along.
   */
  #watch(folder: string, recursive: boolean, concerns: (path: string) => boolean): void {
    const key = `${recursive} ${folder}`;
    const known = this.#watchers.get(key);
    const identity = identityOf(folder);
    if (known !== undefined && known.identity === identity) return;
    known?.watcher.close();
    this.#watchers.delete(key);
    if (identity === undefined) return;
    try {
      const watcher = Deno.watchFs(folder, { recursive });
      this.#watchers.set(key, { watcher, identity });
      void this.#listen(watcher, concerns);
    } catch {
      // It lies inside a compiled binary, or this system watches nothing.
    }
  }

  async #listen(watcher: Deno.FsWatcher, concerns: (path: string) => boolean): Promise<void> {
    try {
      for await (const { kind, paths } of watcher) {
        if (kind === "access") continue;
        // Without a path the system has lost count.
        if (paths.length === 0 || paths.filter(concerns).length > 0) this.#note();
      }
    } catch {
      // What it watched cannot be watched any more.
    }
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

/** What tells a folder from another of the same name; `undefined` where there is none. */
function identityOf(folder: string): string | undefined {
  try {
    const { ino, birthtime } = Deno.statSync(folder);
    return `${ino} ${birthtime?.getTime()}`;
  } catch {
    return undefined;
  }
}
