import { assert, assertEquals, assertMatch } from "@std/assert";
import { urlToCall } from "../../core/cli/own_address.ts";
import { inFolder, spawnXrouter, xrouter } from "./xrouter.ts";

/** Reads a stream until its text has what is looked for; fails when it ends before. */
async function readUntil(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  pattern: RegExp,
): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  while (!pattern.test(text)) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`It ended after: ${text}`);
    text += decoder.decode(value, { stream: true });
  }
  return text;
}

/** The arguments of a command line as a shell takes it apart. */
async function shellWords(line: string): Promise<string[]> {
  const { stdout } = await new Deno.Command("sh", {
    args: ["-c", `curl() { printf '%s\\n' "$@"; }; ${line}`],
  }).output();
  return new TextDecoder().decode(stdout).trimEnd().split("\n");
}

/** Starts the server, hands over what it printed by then, and stops it by SIGTERM. */
async function withServer(
  folder: string,
  printed: RegExp,
  use: (text: string) => Promise<void>,
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  const child = spawnXrouter(folder, [], { PORT: "0", ...env });
  const stderr = new Response(child.stderr).text();
  const reader = child.stdout.getReader();
  try {
    await use(await readUntil(reader, printed));
  } finally {
    child.kill("SIGTERM");
    const { code, signal } = await child.status;
    for (;;) if ((await reader.read()).done) break;
    assertEquals({ code, signal }, { code: 0, signal: null }, await stderr);
    assertMatch(await stderr, /"stopping".*\n.*"stopped"/);
  }
}

Deno.test("start prints a key once, with a curl line that works as it stands", () =>
  inFolder(async (folder) => {
    let secret = "";
    await withServer(folder, /^ {2}curl .*\n/m, async (text) => {
      secret = /^ {2}(xr-[\w-]{43})$/m.exec(text)![1]!;
      const [url, ...flags] = await shellWords(/^ {2}(curl .*)$/m.exec(text)![1]!);
      assertEquals(flags.map((flag, i) => i % 2 === 0 ? flag : ""), ["-H", "", "-H", "", "-d", ""]);
      const headers = [flags[1]!, flags[3]!].map((line): [string, string] => {
        const colon = line.indexOf(":");
        return [line.slice(0, colon), line.slice(colon + 1).trim()];
      });
      const response = await fetch(url!, { method: "POST", headers, body: flags[5]! });
      const answer = await response.json();
      assertEquals(response.status, 200, JSON.stringify(answer));
      assertEquals(answer.choices[0].message.content, "Hello, XRouter");
    });
    assert((await Deno.stat(`${folder}/data/xrouter.db`)).isFile);

    await withServer(folder, /listens on (.*)\n/, async (text) => {
      const url = /listens on (.*)\n/.exec(text)![1]!;
      const models = await fetch(`${url}/v1/models`, { headers: { "x-api-key": secret } });
      assertEquals(models.status, 200, await models.text());
      assertEquals(text, `XRouter listens on ${url}\n`);
    });
  }));

Deno.test("start prints URLs that can be called, however XROUTER_HOST writes an IPv6 address", async () => {
  for (const host of ["::1", "[::1]"]) {
    await inFolder((folder) =>
      withServer(folder, /^ {2}curl .*\n/m, async (text) => {
        // Quoted, since some shells take brackets for a pattern.
        assertMatch(text, /curl "http/);
        const urls = text.match(/http:\/\/[^\s/]+/g)!;
        assertEquals(urls.length, 2);
        for (const url of urls) {
          const alive = await fetch(`${url}/health`);
          assertEquals(await alive.json(), { status: "alive" });
        }
      }, { XROUTER_HOST: host })
    );
  }
});

Deno.test("urlToCall has an address that can be called where a server listens on all", () => {
  assertEquals(urlToCall("0.0.0.0", 8000), "http://127.0.0.1:8000");
  assertEquals(urlToCall("::", 8000), "http://[::1]:8000");
  assertEquals(urlToCall("192.0.2.1", 80), "http://192.0.2.1:80");
});

Deno.test("start says which port is taken and which settings are wrong", () =>
  inFolder(async (folder) => {
    await using taken = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      () => new Response(),
    );
    const { port } = taken.addr;
    const [busy, wrong] = await Promise.all([
      xrouter(folder, ["start"], { PORT: `${port}` }),
      xrouter(folder, ["start"], { PORT: "80000", API_RATE_LIMIT: "many" }),
    ]);
    assertEquals(busy, {
      code: 1,
      stdout: "",
      stderr: `Port ${port} of 127.0.0.1 is taken. Set PORT to a free one\n`,
    });
    assertEquals([wrong.code, wrong.stdout], [1, ""]);
    assertMatch(wrong.stderr, /^XRouter cannot start:\n {2}PORT: must be at most 65535/);
  }));
