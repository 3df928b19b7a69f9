import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { createClient } from "@libsql/client";
import { join } from "node:path";
import { databaseAlive, openDatabase } from "../../core/store/database.ts";
import { serveHrana } from "./hrana_server.ts";
import { runTogether } from "./processes.ts";
import { holdWriteLock } from "./write_lock.ts";

async function inFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "xrouter database " });
  try {
    await run(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** The message that opening ends with; fails when it opens, or when a token is in the error. */
async function problemOf(url: string, authToken?: string): Promise<string> {
  const error = await assertRejects(
    () => openDatabase({ url, ...(authToken === undefined ? {} : { authToken }) }),
    Error,
  ) as Error;
  assert(!Deno.inspect(error, { depth: 10 }).includes("s3cret"), "the token is in the error");
  assertMatch(error.message, /^DATABASE_URL /);
  return error.message;
}

Deno.test("openDatabase makes the folder and holds its pragmas in every parallel call", () =>
  inFolder(async (folder) => {
    const client = await openDatabase({ url: `file:${folder}/new/deep/x.db` });
    const pragma = async (name: string) => {
      const { rows } = await client.execute(`PRAGMA ${name}`);
      return rows[0]?.[0];
    };
    assertEquals(await pragma("journal_mode"), "wal");
    assertEquals(await pragma("busy_timeout"), 250);
    const parallel = await Promise.all(Array.from({ length: 10 }, () => pragma("synchronous")));
    assertEquals(parallel, Array(10).fill(1));
    client.close();
  }));

Deno.test("openDatabase copies its log into the file seldom: writes go on while it is short", () =>
  inFolder(async (folder) => {
    const client = await openDatabase({ url: `file:${folder}/x.db` });
    const sizes = () => ["x.db", "x.db-wal"].map((name) => Deno.statSync(`${folder}/${name}`).size);
    await client.execute("CREATE TABLE texts (text TEXT NOT NULL)");
    const [before] = sizes();
    // Both connections write: the one of prepared writes takes those with plain values.
    for (let row = 0; row < 40; row++) {
      await client.execute({ sql: "INSERT INTO texts VALUES (?)", args: ["x".repeat(250_000)] });
      await client.execute(`INSERT INTO texts VALUES ('${"y".repeat(250_000)}')`);
    }
    const [file, log] = sizes();
    assertEquals(file, before);
    assert(log! > 20_000_000);
    client.close();
  }));

Deno.test("openDatabase finds its data again, under any file name", () =>
  inFolder(async (folder) => {
    const url = `file:${encodeURI(join(folder, "клю чи 100%.db"))}`;
    const first = await openDatabase({ url });
    await first.execute("CREATE TABLE kept (text TEXT)");
    await first.execute({ sql: "INSERT INTO kept VALUES (?)", args: ["ключ 🔑"] });
    first.close();
    assert((await Deno.stat(join(folder, "клю чи 100%.db"))).isFile);
    const second = await openDatabase({ url: url.replace("file:", "file://localhost") });
    assertEquals((await second.execute("SELECT text FROM kept")).rows[0]?.text, "ключ 🔑");
    second.close();
  }));

Deno.test("openDatabase explains what is wrong with a file", () =>
  inFolder(async (folder) => {
    await Deno.writeTextFile(join(folder, "note.txt"), "Not a database.\n".repeat(500));
    assertMatch(await problemOf(`file:${folder}`), /cannot be opened.*may write to it/);
    assertMatch(
      await problemOf(`file:${folder}/note.txt`),
      /is not a database.*Name a libSQL file/,
    );
    assertMatch(await problemOf(`file:${folder}/note.txt/x.db`), /folder ".*note.txt".*Make the/);
    assertMatch(await problemOf("file:"), /no path.*Write "file:data\/xrouter.db"/);
    assertMatch(await problemOf("file:100%.db"), /"%25" for a percent sign/);
    assertMatch(await problemOf("file://elsewhere/x.db"), /no path.*"file:\/\/\/var/);
    assertEquals(
      await Deno.readTextFile(join(folder, "note.txt")),
      "Not a database.\n".repeat(500),
    );
  }));

Deno.test({
  name: "openDatabase explains that a file may only be read",
  // The superuser may write to any file, and Windows has no such mode for a folder.
  ignore: Deno.build.os === "windows" || Deno.uid() === 0,
  fn: () =>
    inFolder(async (folder) => {
      const file = `${folder}/x.db`;
      (await openDatabase({ url: `file:${file}` })).close();
      await Deno.chmod(file, 0o444);
      assertMatch(await problemOf(`file:${file}`), /readonly.*may write to it and to its folder/);
      await Deno.chmod(folder, 0o555);
      assertMatch(await problemOf(`file:${folder}/new.db`), /cannot be opened.*may write to it/);
      assertMatch(await problemOf(`file:${folder}/new/x.db`), /folder ".*new" cannot be made/);
      await Deno.chmod(folder, 0o755);
    }),
});

Deno.test("openDatabase explains a URL that names no database, and does not repeat it", async () => {
  assertMatch(await problemOf("s3cret"), /has no scheme.*Write "file:/);
  assertMatch(await problemOf(""), /has no scheme/);
  assertMatch(await problemOf("postgres://me:s3cret@host/x"), /unknown scheme "postgres:".*"file:/);
});

Deno.test("openDatabase lets several processes open one new file at once", () =>
  inFolder(async (folder) => {
    const database = new URL("../../core/store/database.ts", import.meta.url).href;
    await runTogether(
      `import { openDatabase } from ${JSON.stringify(database)};`,
      `const client = await openDatabase({ url: ${JSON.stringify(`file:${folder}/x.db`)} });
      client.close();`,
    );
  }));

Deno.test("openDatabase waits for a process that is writing", () =>
  inFolder(async (folder) => {
    const lock = await holdWriteLock(`${folder}/x.db`);
    const realTimeout = setTimeout;
    const pauses: unknown[] = [];
    const paused = Promise.withResolvers<void>();
    const pause = (run: () => void, ms: unknown) => {
      pauses.push(ms);
      paused.resolve();
      return realTimeout(run, 0);
    };
    Object.assign(globalThis, { setTimeout: pause });
    try {
      const opening = openDatabase({ url: `file:${folder}/x.db` });
      await paused.promise;
      await lock.release();
      (await opening).close();
    } finally {
      Object.assign(globalThis, { setTimeout: realTimeout });
    }
    assert(pauses.length > 0 && pauses.every((ms) => ms === 100), `${pauses}`);
  }));

Deno.test("databaseAlive reads the file, and rejects when it is damaged or closed", () =>
  inFolder(async (folder) => {
    const client = await openDatabase({ url: `file:${folder}/x.db` });
    await databaseAlive(client);
    client.close();
    await assertRejects(() => databaseAlive(client), Error, "closed");

    await Deno.writeTextFile(`${folder}/x.db`, "Not a database.\n".repeat(500));
    const damaged = createClient({ url: `file:${folder}/x.db` });
    await damaged.execute("SELECT 1");
    await assertRejects(() => databaseAlive(damaged), Error, "not a database");
    damaged.close();
  }));

Deno.test("openDatabase speaks to a server under every remote scheme, with the token", () =>
  inFolder(async (folder) => {
    await using server = serveHrana(join(folder, "remote.db"), "s3cret");
    for (
      const url of [`http://${server.host}`, `ws://${server.host}`, `libsql://${server.host}?tls=0`]
    ) {
      const client = await openDatabase({ url, authToken: "s3cret" });
      await client.execute("CREATE TABLE IF NOT EXISTS kept (n INTEGER)");
      await client.execute({ sql: "INSERT INTO kept VALUES (?)", args: [7] });
      client.close();
    }
    const client = await openDatabase({ url: `http://${server.host}?authToken=s3cret` });
    assertEquals((await client.execute("SELECT sum(n) AS n FROM kept")).rows[0]?.n, 21);
    client.close();
    assertEquals(new Set(server.authorizations), new Set(["Bearer s3cret"]));
  }));

Deno.test("openDatabase explains a refused token and an unreachable server", () =>
  inFolder(async (folder) => {
    let host: string;
    {
      await using server = serveHrana(join(folder, "remote.db"), "right");
      host = server.host;
      assertMatch(
        await problemOf(`http://${host}`, "s3cret"),
        /refused the auth token. Take a valid/,
      );
      assertMatch(await problemOf(`http://${host}?authToken=s3cret`), /refused the auth token/);
    }
    const problem = await problemOf(`http://me:s3cret@${host}/?authToken=s3cret`);
    assertMatch(problem, /cannot be used.*Check host and port/);
    assert(problem.includes(`"http://${host}/"`), problem);
  }));

Deno.test("openDatabase hides a token that the server sends back", async () => {
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    (request) =>
      new Response(`bad: ${request.headers.get("authorization")}`, {
        status: 500,
        headers: { "content-type": "text/plain" },
      }),
  );
  const problem = await problemOf(`http://127.0.0.1:${server.addr.port}`, "s3cret");
  assertMatch(problem, /500: bad: Bearer \[token\]/);
});

Deno.test("openDatabase ends every remote call at its deadline, also within the body", async () => {
  const timeout = AbortSignal.timeout;
  for (const answers of [false, true]) {
    const deadline = new AbortController();
    const gone = Promise.withResolvers<void>();
    const expire = () => deadline.abort(new DOMException("Signal timed out.", "TimeoutError"));
    await using server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      async () => {
        if (!answers) {
          expire();
          await gone.promise;
        }
        return new Response(
          new ReadableStream({
            start: (controller) => controller.enqueue(new TextEncoder().encode('{"baton":')),
            pull: expire,
            cancel: () => gone.resolve(),
          }),
        );
      },
    );
    try {
      AbortSignal.timeout = (ms) => {
        assertEquals(ms, 10_000);
        return deadline.signal;
      };
      const problem = await problemOf(`http://127.0.0.1:${server.addr.port}`);
      assertMatch(problem, /no answer within 10 s/);
    } finally {
      AbortSignal.timeout = timeout;
      gone.resolve();
    }
  }
});
