import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { openDatabase } from "../../core/store/database.ts";
import { inFolder, spawnTask, spawnXrouter } from "./xrouter.ts";

/** What a process writes to its log. */
class LogReader {
  readonly #reader: ReadableStreamDefaultReader<string>;
  #text = "";

  constructor(stream: ReadableStream<Uint8Array<ArrayBuffer>>) {
    this.#reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** Reads until the log matches. */
  async until(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.#text) && await this.#more());
  }

  /** Reads no more, as a collector of logs that has died. */
  async leave(): Promise<void> {
    await this.#reader.cancel();
  }

  /** Reads to the end. */
  async rest(): Promise<string> {
    while (await this.#more());
    return this.#text;
  }

  async #more(): Promise<boolean> {
    const { value, done } = await this.#reader.read();
    this.#text += value ?? "";
    return !done;
  }
}

/** A running server: its address, its first key, and its process. */
async function serve(
  folder: string,
  env: Record<string, string> = {},
  start = () => spawnXrouter(folder, ["start"], { PORT: "0", ...env }),
) {
  const child = start();
  const log = new LogReader(child.stderr);
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let printed = "";
  while (!/^ {2}curl/m.test(printed)) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`It ended: ${await log.rest()}`);
    printed += value;
  }
  const rest = (async () => {
    while (!(await reader.read()).done);
  })();
  const url = new URL(/listens on (\S+)/.exec(printed)![1]!);
  const headers = {
    authorization: `Bearer ${/^ {2}(xr-\S+)$/m.exec(printed)![1]}`,
    "content-type": "application/json",
  };
  return {
    child,
    log,
    url,
    headers,
    chat: (body: object) =>
      fetch(new URL("/v1/chat/completions", url), {
        method: "POST",
        headers,
        body: JSON.stringify(body),
      }),
    async ended() {
      const { code } = await child.status;
      await rest;
      return { code, log: await log.rest() };
    },
  };
}

const slow = {
  model: "echo-slow",
  stream: true,
  messages: [{ role: "user", content: "one two three four" }],
};

/** Writes a plugin of these hooks into a folder. */
function writeKeeper(folder: string, hooks: string): Promise<void> {
  return Deno.writeTextFile(
    `${folder}/90_keeper.ts`,
    `import { definePlugin } from "xrouter/plugin";
    export default definePlugin({ name: "keeper", setup: () => (${hooks}) });`,
  );
}

/** Hooks of a plugin that cannot be closed. */
const failing = '{ dispose() { throw new Error("the disk is full") } }';

async function rowsIn(folder: string): Promise<unknown[]> {
  const database = await openDatabase({ url: `file:${folder}/data/xrouter.db` });
  const { rows } = await database.execute("SELECT state, status, output_tokens FROM usage");
  database.close();
  return rows.map((row) => ({ ...row }));
}

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  Deno.test(`start lets a running stream finish at ${signal}, records it and exits 0`, () =>
    inFolder(async (folder) => {
      const server = await serve(folder);
      const response = await server.chat(slow);
      server.child.kill(signal);
      const text = await response.text();
      assertStringIncludes(text, '"content":" four"');
      assertMatch(text, /data: \[DONE\]\n\n$/);
      const { code, log } = await server.ended();
      assertEquals(code, 0, log);
      // Whoever copies the database copies one file.
      await Deno.mkdir(`${folder}/copy/data`, { recursive: true });
      await Deno.copyFile(`${folder}/data/xrouter.db`, `${folder}/copy/data/xrouter.db`);
      const rows = await rowsIn(`${folder}/copy`);
      assertEquals(rows, [{ state: "completed", status: 200, output_tokens: 4 }]);
    }));
}

Deno.test({
  name: "start lets a stream finish when its whole process group is told, deno task among it",
  // Windows has no process groups that could be told.
  ignore: Deno.build.os === "windows",
  fn: () =>
    inFolder(async (folder) => {
      const server = await serve(folder, {}, () => spawnTask(folder, "start", { PORT: "0" }));
      const response = await server.chat(slow);
      Deno.kill(-server.child.pid, "SIGTERM");
      await server.log.until(/"stopping"/);
      // What the task passes on may have come in the same moment as the first, and been one with it.
      server.child.kill("SIGTERM");
      assertMatch(await response.text(), /data: \[DONE\]\n\n$/);
      const { code, log } = await server.ended();
      assertEquals(code, 0, log);
      assertEquals(await rowsIn(folder), [{ state: "completed", status: 200, output_tokens: 4 }]);
    }),
});

Deno.test({
  name: "start answers what comes in with the signal that stops it",
  // Windows has no pipes among its files.
  ignore: Deno.build.os === "windows",
  fn: () =>
    inFolder(async (folder) => {
      const pipe = `${folder}/pipe`;
      await new Deno.Command("mkfifo", { args: [pipe] }).output();
      // Nothing else happens between the signal and the end of what is written into the pipe.
      await Deno.mkdir(`${folder}/mine`);
      await Deno.writeTextFile(
        `${folder}/mine/90_wait.ts`,
        `import { definePlugin } from "xrouter/plugin";
        Deno.addSignalListener("SIGTERM", () => Deno.readTextFileSync(${JSON.stringify(pipe)}));
        export default definePlugin({ name: "wait", setup: () => ({}) });`,
      );
      const server = await serve(folder, { XROUTER_PLUGINS_DIR: `${folder}/mine` });
      const body = JSON.stringify({ ...slow, model: "echo", stream: false });
      const fields = { ...server.headers, host: server.url.host, connection: "close" };
      const head = Object.entries({ ...fields, "content-length": `${body.length}` })
        .map((field) => field.join(": "));
      server.child.kill("SIGTERM");
      const held = await Deno.open(pipe, { write: true });
      const { hostname, port } = server.url;
      const connection = await Deno.connect({ hostname, port: Number(port) });
      const sent = ["POST /v1/chat/completions HTTP/1.1", ...head, "", body].join("\r\n");
      await connection.write(new TextEncoder().encode(sent));
      held.close();
      const text = await new Response(connection.readable).text();
      assertMatch(text, /^HTTP\/1\.1 200 .*one two three four/s);
      const { code, log } = await server.ended();
      assertEquals(code, 0, log);
    }),
});

Deno.test("start ends a stream whose time has passed, with an error frame and its row", () =>
  inFolder(async (folder) => {
    const server = await serve(folder, { XROUTER_STOP_SECONDS: "0" });
    const response = await server.chat(slow);
    server.child.kill("SIGTERM");
    const text = await response.text();
    assertStringIncludes(text, '"code":"unavailable"');
    assertEquals(text.includes("[DONE]"), false);
    const { code, log } = await server.ended();
    assertEquals(code, 0, log);
    const [row] = await rowsIn(folder) as { state: string; status: number }[];
    assertEquals([row!.state, row!.status], ["failed", 200]);
  }));

Deno.test("start exits 1 after a stop at which a plugin could not write what it keeps, and names it", () =>
  inFolder(async (folder) => {
    await writeKeeper(folder, failing);
    const server = await serve(folder, { XROUTER_PLUGINS_DIR: folder });
    await (await server.chat(slow)).text();
    server.child.kill("SIGTERM");
    const { code, log } = await server.ended();
    assertEquals(code, 1);
    assertMatch(log, /plugin \\"keeper\\" could not be closed.*the disk is full/);
    assertEquals((await rowsIn(folder)).length, 1);
  }));

Deno.test("start exits 0 although a plugin that was replaced long before the stop could not be closed", () =>
  inFolder(async (folder) => {
    await writeKeeper(folder, failing);
    const server = await serve(folder, { XROUTER_PLUGINS_DIR: folder });
    await server.log.until(/"started"/);
    await writeKeeper(folder, "{}");
    await server.log.until(/could not be closed/);
    server.child.kill("SIGTERM");
    const { code, log } = await server.ended();
    assertEquals(code, 0, log);
  }));

Deno.test("start exits 1 where a plugin that was replaced could not be closed while the stop waits", () =>
  inFolder(async (folder) => {
    await writeKeeper(folder, failing);
    const server = await serve(folder, { XROUTER_PLUGINS_DIR: folder });
    await server.log.until(/"started"/);
    // It began with the plugin, and is over only once the stop has begun.
    const response = await server.chat(slow);
    await writeKeeper(folder, "{}");
    await server.log.until(/"reloaded"/);
    server.child.kill("SIGTERM");
    await response.text();
    const { code, log } = await server.ended();
    assertEquals(code, 1, log);
  }));

Deno.test("start serves on although nobody reads its log any more, and stops as it should", () =>
  inFolder(async (folder) => {
    const server = await serve(folder);
    await server.log.leave();
    for (let i = 0; i < 2; i++) {
      const text = await (await server.chat(slow)).text();
      assertMatch(text, /data: \[DONE\]\n\n$/);
    }
    server.child.kill("SIGTERM");
    assertEquals((await server.ended()).code, 0);
    const row = { state: "completed", status: 200, output_tokens: 4 };
    assertEquals(await rowsIn(folder), [row, row]);
  }));

Deno.test("start ends at once when it is told again after a while", () =>
  inFolder(async (folder) => {
    const server = await serve(folder);
    const response = await server.chat({
      ...slow,
      messages: [{ role: "user", content: "a ".repeat(500) }],
    });
    server.child.kill("SIGTERM");
    // It would run for a minute.
    await server.log.until(/"stopping"/);
    const impatience = setInterval(() => server.child.kill("SIGTERM"), 100);
    const { code } = await server.child.status;
    clearInterval(impatience);
    assertEquals(code, 1);
    await server.ended();
    await response.text().catch(() => {});
  }));
