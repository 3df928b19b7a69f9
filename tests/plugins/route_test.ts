import { dropIn } from "../support/drop_in.ts";
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { AccountStore } from "../../core/ledger/accounts.ts";
import { KeyStore } from "../../core/store/keys.ts";
import { HeldClock } from "../support/clock.ts";
import { ask, startRouter, type TestRouter } from "../support/router.ts";
import { modelList, startUpstream, wholeAnswer } from "../support/upstream.ts";

/** Who answered which model, or with what words the request was refused. */
async function routed(router: TestRouter, body: object, headers = {}): Promise<string> {
  const response = await router.chat(body, { headers });
  const { error, model } = await response.json();
  if (error === undefined) return `${response.headers.get("x-xrouter-provider")}: ${model}`;
  return `${response.status} ${error.code} ${error.param}: ${error.message}`;
}

/** A vendor that says which model it was asked for, and fails where the name says so. */
function startVendor(list?: () => Response) {
  return startUpstream(
    ({ body: { model } }) =>
      /fail/.test(model)
        ? Response.json({ error: { message: "ill" } }, { status: 500 })
        : wholeAnswer("Hello.", { model }),
    list,
  );
}

Deno.test("route finds vendor/model, a bare id of the table, and one of the vendor's own list", async () => {
  await using vendor = startVendor();
  await using router = await startRouter(vendor.env);
  const cases = {
    "echo/echo": "echo: echo",
    "echo": "echo: echo",
    "openai/vendor-model": "openai: vendor-model",
    "vendor-model": "openai: vendor-model",
    "openai/not-listed": "openai: not-listed",
    "openai/with/slash": "openai: with/slash",
    "openai/echo": "openai: echo",
    "openai/openai/x": "openai: openai/x",
  };
  for (const [name, expected] of Object.entries(cases)) {
    assertEquals(await routed(router, ask(name)), expected);
  }
});

Deno.test("route knows routes of one model and of several in turn", async () => {
  await using vendor = startVendor();
  await using router = await startRouter({ ...vendor.env, XROUTER_RETRIES: "0" }, {
    routes: {
      fast: "openai/small",
      best: ["openai/fail", "echo/echo"],
      "vendor/like": ["echo/echo"],
    },
  });
  assertEquals(await routed(router, ask("fast")), "openai: small");
  assertEquals(await routed(router, ask("vendor/like")), "echo: echo");
  const response = await router.chat(ask("best"));
  assertEquals((await response.json()).choices[0].message.content, "one two three");
  assertEquals(response.headers.get("x-xrouter-attempts"), "2");
  const rows = await router.usage();
  assertEquals(rows.map(({ model_asked: asked }) => asked), ["fast", "vendor/like", "best"]);
});

Deno.test("route tries model and then models, and passes over what it does not have", async () => {
  await using vendor = startVendor();
  await using router = await startRouter({ ...vendor.env, XROUTER_RETRIES: "0" });
  const among = (rest: object) => routed(router, { ...ask("x"), model: undefined, ...rest });
  assertEquals(await among({ models: ["openai/fail", "openai/b"] }), "openai: b");
  assertEquals(await among({ model: "openai/fail", models: ["nothing", "echo"] }), "echo: echo");
  assertEquals(await among({ model: "nothing", models: ["nowhere", "openai/b"] }), "openai: b");
  assertEquals(await among({ model: "openai/a", models: ["openai/b"] }), "openai: a");
  assertMatch(
    await among({ models: ["nothing", "nowhere"] }),
    /^404 no_route model: Nothing of "nothing", "nowhere" can .*"nothing": No .*"nowhere": No /,
  );
  assertStringIncludes(
    await among({ models: ["openai/fail1", "openai/fail2"] }),
    "502 upstream_unavailable",
  );
  const provider = { order: ["echo"], allow_fallbacks: false };
  assertEquals(await among({ models: ["openai/a", "echo"], provider }), "echo: echo");
  assertEquals(await among({ models: ["openai/a"], provider: { only: ["openai"] } }), "openai: a");
  assertStringIncludes(
    await among({ models: ["openai/a"], provider: { only: ["openai"], zdr: true } }),
    '400 invalid_request provider: "provider" has unknown fields: "zdr"',
  );
  // A vendor is not told of the other choices.
  for (const { body } of vendor.seen) {
    assertEquals(["models" in body, "provider" in body], [false, false]);
  }
});

Deno.test("route ends after the configured number of tries", async () => {
  await using vendor = startVendor();
  await using router = await startRouter({
    ...vendor.env,
    XROUTER_ATTEMPTS: "3",
    XROUTER_RETRIES: "0",
  });
  const models = Array.from({ length: 6 }, (_, i) => `openai/fail${i}`);
  const response = await router.chat({ ...ask("openai/fail"), models });
  await response.body?.cancel();
  assertEquals([response.status, vendor.seen.length], [502, 3]);
});

Deno.test("route refuses what nobody has, saying what to write or to set", async () => {
  await using router = await startRouter();
  const names = ["gpt-4o", "nobody/model", "echo/", "/echo", "/", "ECHO", "echo "];
  for (const name of names) {
    const said = await routed(router, ask(name));
    assertStringIncludes(said, `404 no_route model: No provider has the model "${name}"`);
    assertStringIncludes(said, "GET /v1/models");
  }
  const said = await routed(router, ask("openai/gpt-4o"));
  assertStringIncludes(said, '404 no_route model: The provider "openai" is not configured');
  assertStringIncludes(said, "Set OPENAI_API_KEY");
  const listed = await routed(router, ask("GigaChat-2"));
  assertStringIncludes(listed, "Set GIGACHAT_CREDENTIALS");
});

const twin = `
import { defineProvider } from "xrouter/provider";

export default defineProvider({ name: "twin", baseUrl: "https://twin.invalid/v1" });
`;

Deno.test("route asks which provider is meant when several have a model", async () => {
  await using vendor = startVendor(() => modelList("echo", "shared"));
  await using folder = await dropIn({ "twin.ts": twin });
  await using router = await startRouter({
    ...vendor.env,
    XROUTER_PROVIDERS_DIR: folder.path,
    TWIN_API_KEY: "k",
    TWIN_BASE_URL: vendor.env.OPENAI_BASE_URL!,
  });
  // What the vendors list is known once they were asked for.
  await (await router.get("/v1/models")).body?.cancel();
  assertEquals(
    await routed(router, ask("shared")),
    '404 no_route model: Several providers have the model "shared". ' +
      'Write "openai/shared" or "twin/shared"',
  );
  assertEquals(await routed(router, ask("echo")), "echo: echo", "a provider's own table wins");
});

Deno.test("a vendor's list is asked for once, however many want it, and again after a minute", async () => {
  using clock = new HeldClock();
  let lists = 0;
  let list = () => new Response("ill", { status: 500 });
  await using vendor = startVendor(() => {
    lists++;
    return list();
  });
  await using router = await startRouter({ ...vendor.env, API_RATE_LIMIT: "1000" });
  const askMany = () =>
    Promise.all(Array.from({ length: 20 }, () => routed(router, ask("new-model"))));
  for (const said of await askMany()) assertStringIncludes(said, "404 no_route");
  assertEquals(lists, 1);
  list = () => modelList("new-model");
  assertStringIncludes((await askMany())[0]!, "404 no_route");
  assertEquals(lists, 1);
  clock.pass(60_000);
  for (const said of await askMany()) assertEquals(said, "openai: new-model");
  assertEquals(lists, 2);
});

Deno.test("a vendor's list of any shape is as good as none", async () => {
  for (
    const body of ["", "null", "5", "[]", '{"data":5}', '{"data":[null,5,{"id":5},{}]}', "<html>"]
  ) {
    await using vendor = startVendor(() => new Response(body));
    await using router = await startRouter(vendor.env);
    assertStringIncludes(await routed(router, ask("vendor-model")), "404 no_route");
    const response = await router.get("/v1/models");
    const ids = (await response.json()).data.map(({ id }: { id: string }) => id);
    assertEquals(ids.filter((id: string) => id.startsWith("openai")), [], body);
  }
});

Deno.test("the configuration file wins over what a provider says of its models", async () => {
  await using vendor = startVendor();
  await using router = await startRouter(vendor.env, {
    models: {
      "openai/vendor-model": { price: { currency: "RUB", input: 65, output: 130 }, context: 1000 },
      "echo/echo": { price: { currency: "RUB", input: 1, output: 2, cached: 0 }, maxOutput: 5 },
    },
  });
  const { data } = await (await router.get("/v1/models")).json();
  const shown = (id: string) => {
    const { price, context_length: context, max_output_tokens: maxOutput } = data
      .find((model: { id: string }) => model.id === id);
    return { price, context, maxOutput };
  };
  assertEquals(shown("openai/vendor-model"), {
    price: { currency: "RUB", input: 65, output: 130 },
    context: 1000,
    maxOutput: undefined,
  });
  assertEquals(shown("echo/echo").price, { currency: "RUB", input: 1, output: 2, cached: 0 });
  assertEquals(shown("echo/echo").maxOutput, 5);
  assertEquals(shown("echo/echo-slow").price, { currency: "RUB", input: 0, output: 0 });
  await routed(router, ask("vendor-model"));
  const [row] = await router.usage();
  // 10 tokens in, 4 of them cached at the same price, 5 out.
  assertEquals([row!.cost, row!.price_input], [10 * 65 + 5 * 130, 65_000_000]);
});

/** Asks as a key that may use these models, of an owner "me" that may use those. */
async function keyFor(router: TestRouter, models: string[] | null, owners?: string[]) {
  const { database } = router.program;
  const { key, secret } = await new KeyStore(database)
    .create({ name: "narrow", ...owners && { owner: "me" } });
  const accounts = new AccountStore(database);
  await accounts.setLimits(key.id, { models });
  if (owners) await accounts.setLimits("owner:me", { models: owners });
  return (body: object) => routed(router, body, { authorization: `Bearer ${secret}` });
}

Deno.test("route gives a key only the models of its list, by any of the four spellings", async () => {
  await using vendor = startVendor();
  await using router = await startRouter(vendor.env, {
    routes: { fast: "openai/small", best: ["openai/fail", "echo/echo"] },
  });
  const cases: [models: string[], asked: string, expected: string][] = [
    [["openai/a"], "openai/a", "openai: a"],
    [["openai/a"], "openai/b", "403"],
    [["openai/*"], "openai/with/slash", "openai: with/slash"],
    [["openai/*"], "echo", "403"],
    [["echo"], "echo", "echo: echo"],
    [["echo"], "echo/echo", "echo: echo"],
    [["echo/echo"], "echo", "echo: echo"],
    [["echo"], "echo-slow", "403"],
    [["echo"], "openai/echo", "openai: echo"],
    [["with/slash"], "openai/with/slash", "openai: with/slash"],
    // What is written as one provider's model is no other provider's.
    [["openai/x"], "openai/openai/x", "403"],
    [["echo/echo"], "openai/echo/echo", "403"],
    [["fast"], "fast", "openai: small"],
    [["fast"], "openai/small", "403"],
    [["openai/small"], "fast", "openai: small"],
    [["small"], "fast", "openai: small"],
    [["best"], "fast", "403"],
    [["ECHO"], "echo", "403"],
    [["echo/*"], "nothing", "404"],
  ];
  for (const [models, asked, expected] of cases) {
    const said = await (await keyFor(router, models))(ask(asked));
    assertEquals(said.slice(0, expected.length), expected, `${models} asked for ${asked}: ${said}`);
  }
});

Deno.test("route passes over the fallbacks that a key may not use", async () => {
  await using vendor = startVendor();
  await using router = await startRouter({ ...vendor.env, XROUTER_RETRIES: "0" }, {
    routes: { best: ["openai/fail", "openai/small", "echo/echo"] },
  });
  const narrow = await keyFor(router, ["echo", "openai/b"]);
  assertEquals(await narrow(ask("best")), "echo: echo");
  assertEquals(await narrow({ ...ask("openai/a"), models: ["nothing", "openai/b"] }), "openai: b");
  assertEquals(vendor.seen.map(({ body }) => body.model), ["b"], "nobody else was asked");
  assertEquals(
    await narrow(ask("openai/a")),
    '403 forbidden model: Key "narrow" may not use the model "openai/a". Allowed: "echo", "openai/b"',
  );
  assertMatch(
    await narrow({ ...ask("nothing"), models: ["openai/a", "openai/c"] }),
    /^403 forbidden model: .*"nothing": No .*"openai\/a": Key .*"openai\/c": Key "narrow" may not/,
  );
  assertStringIncludes(
    await narrow(ask("nothing")),
    "404 no_route model: No provider has the model",
  );
  assertEquals(await routed(router, ask("openai/a")), "openai: a", "others are as free as before");
});

Deno.test("route gives a key only what its owner may use too", async () => {
  await using vendor = startVendor();
  await using router = await startRouter(vendor.env, { routes: { fast: "openai/small" } });
  const owned = await keyFor(router, null, ["openai/*"]);
  assertEquals(await owned(ask("openai/a")), "openai: a");
  assertEquals(
    await owned(ask("echo")),
    '403 forbidden model: Owner "me" may not use the model "echo". Allowed: "openai/*"',
  );
  const both = await keyFor(router, ["fast", "echo"], ["openai/*", "echo"]);
  assertEquals([await both(ask("fast")), await both(ask("echo"))], ["openai: small", "echo: echo"]);
  assertStringIncludes(await both(ask("openai/small")), '403 forbidden model: Key "narrow"');
  const apart = await keyFor(router, ["echo"], ["fast"]);
  assertStringIncludes(await apart(ask("fast")), '403 forbidden model: Key "narrow"');
  assertStringIncludes(await apart(ask("echo")), '403 forbidden model: Owner "me"');
});

Deno.test("route goes by the counted input, the caller's key and the request's headers", async () => {
  await using vendor = startVendor();
  await using router = await startRouter(vendor.env, {
    models: { "openai/small": { context: 40 } },
    routes: {
      best: {
        targets: [
          { model: "openai/mine", when: { keys: ["narrow"] } },
          { model: "openai/tagged", when: { tags: ["night"] } },
          "openai/small",
          { model: "openai/long", when: { minTokens: 30 } },
        ],
      },
    },
  });
  const narrow = await keyFor(router, null);
  assertEquals(await narrow(ask("best")), "openai: mine");
  assertEquals(await routed(router, ask("best"), { "x-xrouter-tag": "night" }), "openai: tagged");
  assertEquals(await routed(router, ask("best")), "openai: small");
  const long = "word ".repeat(60);
  assertEquals(await routed(router, ask("best", long)), "openai: long");
  assertStringIncludes(
    await routed(router, ask("openai/small", long)),
    '400 context_length_exceeded messages: Nothing of "openai/small" can serve this request',
  );
  assertStringIncludes(
    await routed(router, ask("best"), { "x-xrouter-on-break": "never" }),
    "400 invalid_request x-xrouter-on-break",
  );
});
