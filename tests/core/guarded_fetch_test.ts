import { assertEquals, assertRejects } from "@std/assert";
import { GuardedFetch } from "../../core/guarded_fetch.ts";
import { limits, refused, withSite } from "../support/guarded_site.ts";

Deno.test("guarded fetch gets a body and its type, and sends nothing of ours", async () => {
  let seen: { url: string; headers: string[] } | undefined;
  await withSite((request) => {
    seen = { url: request.url, headers: [...request.headers.keys()].sort() };
    return new Response("body", { headers: { "content-type": "Image/PNG; x=1" } });
  }, async (url, guard) => {
    const { bytes, contentType } = await guard.get(`${url}/a?b=c`, limits);
    assertEquals(new TextDecoder().decode(bytes), "body");
    assertEquals(contentType, "image/png");
    const headers = ["accept", "accept-encoding", "connection", "host", "user-agent"];
    assertEquals(seen, { url: `${url}/a?b=c`, headers });
  });
});

Deno.test("guarded fetch refuses addresses that are not public, however they are written", async () => {
  const guard = new GuardedFetch();
  const hosts = [
    "127.0.0.1",
    "127.1",
    "0x7f.1",
    "0x7f000001",
    "2130706433",
    "017700000001",
    "127.0.0.1.",
    "１２７.０.０.１",
    "0.0.0.0",
    "0",
    "10.1.2.3",
    "100.64.0.1",
    "169.254.169.254",
    "172.31.255.255",
    "192.168.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:8.8.8.8]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[fe80::1]",
    "[fd00::1]",
    "[ff02::1]",
  ];
  for (const host of hosts) {
    for (const scheme of ["http", "https"]) {
      await refused(guard, `${scheme}://${host}/`, "leads to a host without a public address");
    }
  }
});

Deno.test("guarded fetch refuses what is no plain address on a usual port", async () => {
  const guard = new GuardedFetch({ resolve: () => Promise.reject(new Error("not asked")) });
  for (const scheme of ["file:///etc/passwd", "ftp://a.test/", "data:,x", "gopher://a.test/"]) {
    await refused(guard, scheme, "must begin with https:// or http://");
  }
  await refused(guard, "/relative", "is not a URL");
  await refused(guard, "http://[fe80::1%25eth0]/", "is not a URL");
  await refused(guard, `http://a.test/${"a".repeat(9_000)}`, "is not a URL");
  await refused(guard, "http://me:secret@a.test/", "must not hold a user or a password");
  await refused(guard, "http://a.test@127.0.0.1/", "must not hold a user or a password");
  await refused(guard, "http://a.test:22/", "must have one of the ports 80, 443");
  await refused(guard, "https://a.test:8443/", "must have one of the ports 80, 443");
});

Deno.test("guarded fetch refuses a name one of whose addresses is not public, or that has none", async () => {
  for (const addresses of [[], ["93.184.216.34", "10.0.0.1"], ["fe80::1%2"], ["no address"]]) {
    const guard = new GuardedFetch({ resolve: () => Promise.resolve(addresses) });
    await refused(guard, "http://a.test/", "leads to a host without a public address");
  }
});

Deno.test("guarded fetch connects to the address that was checked, although the name changes", async () => {
  let asked = 0;
  const resolve = () => Promise.resolve([asked++ === 0 ? "127.0.0.1" : "127.0.0.2"]);
  await withSite(() => new Response("outside"), async (url, guard) => {
    const { bytes } = await guard.get(url, limits);
    assertEquals(new TextDecoder().decode(bytes), "outside");
    assertEquals(asked, 1);
    // The second time the name has changed, and is refused.
    await refused(guard, url, "without a public address");
  }, { resolve });
});

Deno.test("guarded fetch follows three redirects, and checks each", async () => {
  await withSite((request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/in") {
      return new Response(null, {
        status: 302,
        headers: { location: "http://169.254.169.254/latest/meta-data/" },
      });
    }
    if (pathname === "/file") {
      return new Response(null, { status: 302, headers: { location: "file:///etc/passwd" } });
    }
    if (pathname === "/broken") {
      return new Response(null, { status: 302, headers: { location: "http://[" } });
    }
    const left = Number(pathname.slice(1));
    return left === 0
      ? new Response("there")
      : new Response("a body", { status: 307, headers: { location: `${left - 1}` } });
  }, async (url, guard) => {
    assertEquals((await guard.get(`${url}/3`, limits)).bytes.length, 5);
    await refused(guard, `${url}/4`, "redirects more than 3 times");
    await refused(guard, `${url}/in`, "without a public address");
    await refused(guard, `${url}/file`, "must begin with https://");
    await refused(guard, `${url}/broken`, "is not a URL");
  });
});

Deno.test("guarded fetch checks the address behind a redirect", async () => {
  await withSite((request) => {
    const { port } = new URL(request.url);
    const location = `http://127.0.0.3:${port}/`;
    return new Response(null, { status: 302, headers: { location } });
  }, async (url, guard) => void await refused(guard, url, "without a public address"));
});

Deno.test("guarded fetch reads no more bytes than it may, whatever the server says", async () => {
  const endless = () => {
    let sent = 0;
    return new ReadableStream<Uint8Array>({
      pull(controller) {
        if (sent++ > 10_000) controller.close();
        else controller.enqueue(new Uint8Array(500));
      },
    });
  };
  await withSite(({ url }) => {
    if (url.endsWith("/endless")) return new Response(endless());
    return new Response("a".repeat(url.endsWith("/fits") ? 1_000 : 1_001));
  }, async (url, guard) => {
    assertEquals((await guard.get(`${url}/fits`, limits)).bytes.length, 1_000);
    await refused(guard, `${url}/long`, "at most 1000 bytes");
    await refused(guard, `${url}/endless`, "at most 1000 bytes");
  });
});

Deno.test("guarded fetch refuses a compressed body, and an answer that is none", async () => {
  await withSite(
    ({ url }) =>
      url.endsWith("/gzip")
        ? new Response("bomb", { headers: { "content-encoding": "gzip" } })
        : new Response("no", { status: 404 }),
    async (url, guard) => {
      await refused(guard, `${url}/gzip`, "compressed");
      await refused(guard, `${url}/404`, "HTTP 404");
    },
  );
});

Deno.test("guarded fetch gives a slow server up, before its answer and in the middle of it", async () => {
  const over = Promise.withResolvers<void>();
  const drip = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(new Uint8Array(1)),
  });
  await withSite(async ({ url }) => {
    if (url.endsWith("/drip")) return new Response(drip);
    await over.promise;
    return new Response("late");
  }, async (url, guard) => {
    const short = { ...limits, ms: 200 };
    await refused(guard, `${url}/drip`, "within 0.2 seconds", short);
    await refused(guard, `${url}/silent`, "within 0.2 seconds", short);
    over.resolve();
  });
});

Deno.test("guarded fetch gives a slow resolver up", async () => {
  const guard = new GuardedFetch({ resolve: () => new Promise(() => {}) });
  await refused(guard, "http://a.test/", "within 0.1 seconds", { ...limits, ms: 100 });
});

Deno.test("guarded fetch ends with its caller's signal", async () => {
  const came = Promise.withResolvers<void>();
  const over = Promise.withResolvers<void>();
  await withSite(async () => {
    came.resolve();
    await over.promise;
    return new Response();
  }, async (url, guard) => {
    const controller = new AbortController();
    const got = guard.get(url, { ...limits, signal: controller.signal });
    await came.promise;
    controller.abort(new Error("left"));
    await assertRejects(() => got, Error, "left");
    over.resolve();
  });
});
