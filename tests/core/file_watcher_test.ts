/** What is told of changed files, on a real file system. */
import { assert, assertEquals } from "@std/assert";
import { FileWatcher, type WatchedPaths } from "../../core/file_watcher.ts";
import { dropIn } from "../support/drop_in.ts";

/** Runs with `Deno.watchFs` telling of each folder that is watched. */
async function withWatched(
  onWatch: (folder: string | string[]) => void,
  run: () => Promise<void>,
): Promise<void> {
  const { watchFs } = Deno;
  Deno.watchFs = (paths, options) => {
    onWatch(paths);
    return watchFs(paths, options);
  };
  try {
    await run();
  } finally {
    Deno.watchFs = watchFs;
  }
}

/** Watches, and lets a test wait for each time that it is told. */
function watch(paths: WatchedPaths) {
  let told = Promise.withResolvers<void>();
  const watcher = new FileWatcher(paths, () => {
    told.resolve();
    told = Promise.withResolvers();
  });
  return {
    watcher,
    /** Resolves when the next change is told. */
    next: () => told.promise,
    [Symbol.asyncDispose]: () => watcher.close(),
  };
}

Deno.test("file watcher: a file that is edited, removed and written again is told", async () => {
  await using folder = await dropIn({ "x.json": "{}" });
  const file = `${folder.path}/x.json`;
  await using watched = watch({ folders: [], file });
  assert(watched.watcher.watching);
  for (
    const change of [
      () => Deno.writeTextFile(file, "{ }"),
      // As long as before: only its time tells.
      () => Deno.writeTextFile(file, "[ ]"),
      () => Deno.chmod(file, 0o600),
      // A copy that keeps its length and time, as of `rsync -t`.
      async () => {
        const { mtime, ctime } = await Deno.stat(file);
        // A file system's clock is some milliseconds behind.
        const nextSecond = ctime!.getTime() + 1_100 - Date.now();
        await new Promise((resolve) => setTimeout(resolve, nextSecond));
        await Deno.writeTextFile(file, "{ }");
        await Deno.utime(file, mtime!, mtime!);
      },
      () => Deno.remove(file),
      () => Deno.writeTextFile(file, "{}"),
    ]
  ) {
    const told = watched.next();
    await change();
    await told;
  }
});

Deno.test("file watcher: whoever writes beside the file wakes nobody", async () => {
  await using folder = await dropIn({ "x.json": "{}", "plugins/1.ts": "" });
  const plugins = `${folder.path}/plugins`;
  const folders: unknown[] = [];
  await withWatched((path) => folders.push(path), async () => {
    await using _watched = watch({ folders: [plugins], file: `${folder.path}/x.json` });
    // Databases and logs lie beside it: to watch that folder costs something for each request.
    assertEquals(folders, [plugins]);
  });
});

Deno.test("file watcher: a folder that another one replaces at once is watched on", async () => {
  await using folder = await dropIn({ "plugins/1.ts": "1", "next/1.ts": "2" });
  const plugins = `${folder.path}/plugins`;
  let opened = () => {};
  await withWatched(() => opened(), async () => {
    await using watched = watch({ folders: [plugins], file: undefined });
    const again = new Promise<void>((resolve) => opened = resolve);
    await Deno.rename(plugins, `${folder.path}/before`);
    await Deno.rename(`${folder.path}/next`, plugins);
    await again;
    // What may have changed until it was watched.
    await watched.next();
    const told = watched.next();
    await Deno.writeTextFile(`${plugins}/1.ts`, "3");
    await told;
  });
});

Deno.test("file watcher: what comes together is told once, and nothing after it is closed", async () => {
  await using folder = await dropIn({ "plugins/1.ts": "" });
  const plugins = `${folder.path}/plugins`;
  let told = 0;
  const first = Promise.withResolvers<void>();
  const watcher = new FileWatcher({ folders: [plugins], file: undefined }, () => {
    told++;
    first.resolve();
  });
  await using beside = watch({ folders: [plugins], file: undefined });
  const besideFirst = beside.next();
  for (const name of ["2", "3", "4"]) await Deno.writeTextFile(`${plugins}/${name}.ts`, "");
  await Promise.all([first.promise, besideFirst]);
  assertEquals(told, 1);
  await watcher.close();
  const after = beside.next();
  await Deno.writeTextFile(`${plugins}/5.ts`, "");
  await after;
  assertEquals(told, 1);
});

for (const which of ["the folder", "the database", "neither"] as const) {
  Deno.test(`file watcher: a database in the folder wakes nobody, ${which} named by a link`, async () => {
    await using folder = await dropIn({ "mine/1.ts": "", "mine/data/x.db": "" });
    const mine = `${folder.path}/mine`;
    const link = `${folder.path}/link`;
    await Deno.symlink("mine", link);
    const database = `${which === "the database" ? link : mine}/data/x.db`;
    const folders = [which === "the folder" ? link : mine];
    let told = 0;
    const first = Promise.withResolvers<void>();
    const watcher = new FileWatcher({ folders, file: undefined, database }, () => {
      told++;
      first.resolve();
    });
    await using beside = watch({ folders, file: undefined });
    for (const name of ["x.db", "x.db-wal", "x.db-shm", "x.db.ts"]) {
      const seen = beside.next();
      assertEquals(told, 0);
      await Deno.writeTextFile(`${mine}/data/${name}`, "1");
      await seen;
    }
    await first.promise;
    assertEquals(told, 1);
    await watcher.close();
  });
}

Deno.test("file watcher: a folder that is named twice is watched once, and let go", async () => {
  await using folder = await dropIn({ "plugins/1.ts": "" });
  const plugins = `${folder.path}/plugins`;
  const folders: unknown[] = [];
  await withWatched((path) => folders.push(path), async () => {
    await using _watched = watch({ folders: [plugins, `${plugins}/`], file: undefined });
    assertEquals(folders, [plugins]);
  });
});
