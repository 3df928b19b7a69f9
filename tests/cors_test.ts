import { assert, assertEquals } from "@std/assert";
import { readWholeStream } from "./support/event_stream.ts";
import { ask, startRouter, type TestRouter } from "./support/router.ts";

const page = "https://app.example";

/** One of every kind of answer, as a page at `origin` gets it. */
async function answers(router: TestRouter, origin: string): Promise<Record<string, Response>> {
  const headers = { origin };
  const key = { authorization: `Bearer ${router.secret}`, origin };
  return {
    "200 health": await fetch(`${router.url}/health`, { headers }),
    "200 models": await fetch(`${router.url}/v1/models`, { headers: key }),
    "200 whole": await router.chat(ask("echo"), { headers }),
    "200 stream": await router.chat(ask("echo", "hi", { stream: true }), { headers }),
    "200 broken stream": await router.chat(ask("echo-cut", "a b c", { stream: true }), { headers }),
    "400": await router.chat("{}", { headers }),
    "401 chat": await router.chat(ask("echo"), { headers: { origin, authorization: "" } }),
    "401 models": await fetch(`${router.url}/v1/models`, { headers }),
    "404 path": await fetch(`${router.url}/nothing`, { headers }),
    "404 model": await router.chat(ask("nothing"), { headers }),
    "405": await fetch(`${router.url}/health`, { method: "POST", headers }),
    "413": await router.chat("x".repeat(2000), { headers }),
    "415": await router.chat("x", { headers: { origin, "content-type": "text/plain" } }),
    "502": await router.chat(ask("echo-fail"), { headers }),
  };
}

function preflight(router: TestRouter, path: string, origin: string): Promise<Response> {
  return fetch(router.url + path, {
    method: "OPTIONS",
    headers: {
      origin,
      "access-control-request-method": "POST",
      "access-control-request-headers": "authorization,content-type,x-api-key,x-stainless-os",
    },
  });
}

const quick = { XROUTER_BODY_LIMIT: "1024", XROUTER_RETRIES: "0" };

Deno.test("every answer may be read by a page of a configured origin, and by no other", async () => {
  const origins = `https://other.example, ${page}`;
  await using router = await startRouter({ ...quick, API_CORS_ORIGINS: origins });
  for (const [kind, response] of Object.entries(await answers(router, page))) {
    assertEquals(response.status, Number.parseInt(kind), kind);
    assertEquals(response.headers.get("access-control-allow-origin"), page, kind);
    assert(response.headers.get("vary")?.toLowerCase().includes("origin"), kind);
    const exposed = response.headers.get("access-control-expose-headers")!.toLowerCase().split(",");
    for (const name of response.headers.keys()) {
      if (/^x-(?!accel-)/.test(name)) {
        assert(exposed.includes(name), `${kind} does not expose ${name}`);
      }
    }
    for (const name of ["x-request-id", "retry-after", "x-ratelimit-remaining-requests"]) {
      assert(exposed.includes(name), `${kind} does not expose ${name}`);
    }
    if (kind.includes("stream")) {
      assertEquals((await readWholeStream(response)).done, kind === "200 stream");
    } else await response.text();
  }
  for (const origin of ["https://evil.example", `${page}.evil.example`, "null", "https://app"]) {
    for (const [kind, response] of Object.entries(await answers(router, origin))) {
      assertEquals(response.headers.get("access-control-allow-origin"), null, `${origin} ${kind}`);
      await response.text();
    }
  }
});

Deno.test("a preflight needs no key, and allows the headers that clients send", async () => {
  await using router = await startRouter({ API_CORS_ORIGINS: page });
  for (const path of ["/v1/chat/completions", "/v1/models"]) {
    const { status, headers } = await preflight(router, path, page);
    assertEquals(status, 204);
    assertEquals(headers.get("access-control-allow-origin"), page);
    assert(headers.get("access-control-allow-methods")!.split(",").includes("POST"));
    const allowed = headers.get("access-control-allow-headers")!.split(",");
    for (const name of ["authorization", "content-type", "x-api-key", "x-stainless-os"]) {
      assert(allowed.includes(name), name);
    }
    assertEquals(headers.get("access-control-max-age"), "600");
  }
  const foreign = await preflight(router, "/v1/models", "https://evil.example");
  assertEquals(foreign.headers.get("access-control-allow-origin"), null);
});

Deno.test("a star allows every page, and never its cookies", async () => {
  await using router = await startRouter({ ...quick, API_CORS_ORIGINS: "*" });
  for (const [kind, response] of Object.entries(await answers(router, page))) {
    assertEquals(response.headers.get("access-control-allow-origin"), "*", kind);
    assertEquals(response.headers.get("access-control-allow-credentials"), null, kind);
    await response.text();
  }
});

Deno.test("without configured origins no page may read anything", async () => {
  await using router = await startRouter(quick);
  for (const [kind, response] of Object.entries(await answers(router, page))) {
    const names = [...response.headers.keys()].filter((name) => /^access-control-/.test(name));
    assertEquals(names, [], kind);
    await response.text();
  }
  const refused = await preflight(router, "/v1/chat/completions", page);
  assertEquals(refused.status, 401);
  await refused.text();
});
