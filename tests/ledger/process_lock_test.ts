import type { Client } from "@libsql/client";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { ProcessLock } from "../../core/ledger/process_lock.ts";
import { createLog } from "../../core/log.ts";
import { openDatabase } from "../../core/store/database.ts";
import { serveHrana } from "../store/hrana_server.ts";

interface Place {
  readonly folder: string;
  readonly database: Client;
  /** Lines of the log. */
  readonly lines: string[];
  /** One more process that lives. */
  take(): Promise<ProcessLock>;
  /** Names of the files of processes. */
  files(): string[];
}

async function withPlace(
  run: (place: Place) => Promise<void>,
  name = "x.db",
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "xrouter-test-" });
  const database = await openDatabase({ url: `file:${folder}/${name}` });
  const lines: string[] = [];
  const log = createLog((line) => lines.push(line));
  try {
    await run({
      folder,
      database,
      lines,
      take: async () => (await ProcessLock.take(database, log))!,
      files: () =>
        [...Deno.readDirSync(folder)].map((file) => file.name)
          .filter((file) => file.includes("process")).sort(),
    });
  } finally {
    database.close();
    await Deno.remove(folder, { recursive: true });
  }
}

/** The dead as a process sees them, who are forgotten then. */
function deadAsSeenBy(lock: ProcessLock): Promise<readonly string[]> {
  return lock.forDead((ids) => Promise.resolve(ids));
}

Deno.test("ProcessLock tells the dead from the living, and forgets them once they are settled", () =>
  withPlace(async ({ take, files }) => {
    const [first, second, third] = [await take(), await take(), await take()];
    assertEquals(files(), [first, second, third].map(({ id }) => `x.db-process-${id}`).sort());
    assertEquals(await deadAsSeenBy(first), []);
    await second.release(false);
    assertEquals(await deadAsSeenBy(first), [second.id]);
    assertEquals(await deadAsSeenBy(first), []);
    assertEquals(files(), [first, third].map(({ id }) => `x.db-process-${id}`).sort());
    await first.release(true);
    await first.release(true);
    assertEquals(await deadAsSeenBy(third), []);
    await third.release(true);
    assertEquals(files(), []);
  }));

Deno.test("ProcessLock leaves alone what is not a process' file", () =>
  withPlace(async ({ folder, take, files }) => {
    const id = crypto.randomUUID();
    const names = ["x.db-process-", "x.db-process-old.db", `x.db-process-${id}.bak`];
    for (const name of names) await Deno.writeTextFile(`${folder}/${name}`, "");
    await Deno.mkdir(`${folder}/x.db-process-${id}`);
    const lock = await take();
    assertEquals(await deadAsSeenBy(lock), []);
    await lock.release(true);
    assertEquals(files(), [...names, `x.db-process-${id}`].sort());
  }));

Deno.test("ProcessLock shows a dead process to one at a time, until it is settled", () =>
  withPlace(async ({ take }) => {
    const [first, second, dead] = [await take(), await take(), await take()];
    await dead.release(false);
    await assertRejects(
      () =>
        first.forDead(async (ids) => {
          assertEquals(ids, [dead.id]);
          assertEquals(await deadAsSeenBy(second), []);
          throw new Error("the database is locked");
        }),
      Error,
      "the database is locked",
    );
    assertEquals(await deadAsSeenBy(second), [dead.id]);
    await first.release(true);
    await second.release(true);
  }));

Deno.test("ProcessLock never takes the living for dead, whoever starts and looks meanwhile", () =>
  withPlace(async ({ take, files }) => {
    const [living, dead, seen] = [new Set<string>(), new Set<string>(), new Set<string>()];
    const look = async (lock: ProcessLock) => {
      for (const id of await deadAsSeenBy(lock)) {
        assert(!living.has(id), "the living are taken for dead");
        seen.add(id);
      }
    };
    const looker = await take();
    living.add(looker.id);
    let starting = true;
    const looks = Array.from({ length: 3 }, async () => {
      while (starting) await look(looker);
    });
    await Promise.all(Array.from({ length: 6 }, async () => {
      for (let life = 0; life < 40; life++) {
        const lock = await take();
        assert(!seen.has(lock.id), "a process was taken for dead before it began");
        living.add(lock.id);
        await look(lock);
        living.delete(lock.id);
        dead.add(lock.id);
        await lock.release(false);
      }
    }));
    starting = false;
    await Promise.all(looks);
    await look(looker);
    assertEquals(dead.difference(seen).size, 0, "the dead are never seen");
    await looker.release(true);
    assertEquals(files(), []);
  }));

Deno.test("ProcessLock says once that a folder takes no file, and leaves it to the leases", () =>
  // With its end this name is longer than a file's may be.
  withPlace(async ({ take, files, lines }) => {
    assertEquals(await take(), undefined as unknown as ProcessLock);
    assertEquals(files(), []);
    assertEquals(lines.length, 1);
    assertStringIncludes(lines[0]!, "Let XRouter make files in the database's folder");
    assertStringIncludes(lines[0]!, "XROUTER_LEASE_SECONDS");
  }, `${"x".repeat(240)}.db`));

Deno.test("ProcessLock leaves databases in memory and on servers to the leases", () =>
  withPlace(async ({ folder, files, lines }) => {
    await using server = serveHrana(`${folder}/x.db`);
    for (const url of ["file::memory:", `http://${server.host}`]) {
      const database = await openDatabase({ url });
      assertEquals(
        await ProcessLock.take(database, createLog((line) => lines.push(line))),
        undefined,
      );
      database.close();
    }
    assertEquals([...files(), ...lines], []);
  }));
