import { assertEquals, assertStringIncludes } from "@std/assert";
import { GuardedFetch } from "../../core/guarded_fetch.ts";
import { limits, refused, withSite } from "../support/guarded_site.ts";

/** A server of bytes: it says one thing and closes. */
async function withSocket(said: string, run: (port: number) => Promise<void>): Promise<void> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const served = (async () => {
    for await (const connection of listener) {
      try {
        await connection.read(new Uint8Array(4_096));
        await connection.write(new TextEncoder().encode(said));
        connection.close();
      } catch {
        // The guard may go first.
      }
    }
  })();
  try {
    await run(listener.addr.port);
  } finally {
    listener.close();
    await served;
  }
}

Deno.test("guarded fetch refuses an answer that breaks off, is no HTTP, or has endless headers", async () => {
  const answers = {
    short: "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf",
    smtp: "220 mail.test ESMTP\r\n",
    nothing: "",
    headers: `HTTP/1.1 200 OK\r\nx: ${"a".repeat(1_000_000)}\r\n\r\n`,
  };
  for (const [name, said] of Object.entries(answers)) {
    await withSocket(said, async (port) => {
      const guard = new GuardedFetch({ isAllowed: () => true, ports: [port] });
      const error = await refused(guard, `http://127.0.0.1:${port}/`, "cannot be fetched");
      assertStringIncludes(error.message, "cannot be fetched", name);
    });
  }
});

Deno.test("guarded fetch proves the name of the host by its certificate", async () => {
  const fixtures = `${import.meta.dirname}/../fixtures/gigachat`;
  const [cert, key, authority] = await Promise.all(
    ["test_server.pem", "test_server_key.pem", "test_ca.pem"].map((name) =>
      Deno.readTextFile(`${fixtures}/${name}`)
    ),
  );
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, cert: cert!, key: key!, onListen() {} },
    (request) => new Response(request.headers.get("host")),
  );
  const { port } = server.addr;
  const options = {
    resolve: () => Promise.resolve(["127.0.0.1"]),
    isAllowed: () => true,
    ports: [port],
  };
  try {
    const guard = new GuardedFetch({ ...options, authorities: [authority!] });
    const { bytes } = await guard.get(`https://proxy.example:${port}/`, limits);
    assertEquals(new TextDecoder().decode(bytes), `proxy.example:${port}`);
    await refused(guard, `https://other.example:${port}/`, "the connection fails");
    const strict = new GuardedFetch(options);
    await refused(strict, `https://proxy.example:${port}/`, "the connection fails");
  } finally {
    await server.shutdown();
  }
});

Deno.test("guarded fetch goes by no proxy, whatever the environment says", async () => {
  let asked = 0;
  const proxy = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, () => {
    asked++;
    return new Response("by the proxy");
  });
  const address = `http://127.0.0.1:${proxy.addr.port}`;
  const names = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];
  const env = Object.fromEntries(
    names.flatMap((name) => [[name, address], [name.toLowerCase(), address]]),
  );
  const module = new URL("../../core/guarded_fetch.ts", import.meta.url);
  try {
    await withSite(() => new Response("straight"), async (_url, _guard, port) => {
      const code = `
        import { GuardedFetch } from "${module}";
        const guard = new GuardedFetch({
          resolve: () => Promise.resolve(["127.0.0.1"]),
          isAllowed: () => true,
          ports: [${port}],
        });
        const limits = { bytes: 100, ms: 5000, signal: new AbortController().signal };
        for (const scheme of ["http", "https"]) {
          const got = guard.get(scheme + "://site.test:${port}/", limits);
          console.log(await got.then(({ bytes }) => bytes.length, (error) => error.message));
        }`;
      const { stdout } = await new Deno.Command(Deno.execPath(), {
        args: ["eval", code],
        env: { ...env, NODE_USE_ENV_PROXY: "1", NO_COLOR: "1" },
      }).output();
      const lines = new TextDecoder().decode(stdout);
      assertEquals(lines, "8\ncannot be fetched: the connection fails\n");
    });
  } finally {
    await proxy.shutdown();
  }
  assertEquals(asked, 0);
});
