import { assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { parsers } from "../../core/body.ts";
import { Catalog } from "../../core/catalog.ts";
import { RouterError } from "../../core/errors.ts";
import type { DeclaredFacts } from "../../core/model.ts";
import type { Route } from "../../core/plugin.ts";
import type { RouteLimits } from "../../core/routing/limits.ts";
import { planRoute } from "../../core/routing/plan.ts";
import type { DeclaredRoute } from "../../core/routing/routes.ts";
import type { ApiKey } from "../../core/store/keys.ts";
import { Transport } from "../../core/transport.ts";
import { limits } from "../support/kernel.ts";
import { routesOf } from "../support/routes.ts";
import { unlimited } from "../support/unlimited.ts";

const price = (input: number, output: number) => ({
  price: { currency: "RUB", input, output },
});

const models: Record<string, DeclaredFacts> = {
  small: { context: 100, region: "ru", ...price(1, 1) },
  large: { context: 10_000, region: "ru", tools: true, ...price(10, 10) },
  blind: { images: false, region: "us" },
  plain: { tools: false, ...price(5, 5) },
  open: {},
  speaker: { kind: "chat" },
  vectors: { kind: "embeddings" },
};

const standard: RouteLimits = {
  attempts: 4,
  retries: 1,
  time: 1_000,
  timeouts: limits(),
  onBreak: "error",
};

/** What a place plans; `alpha` and `beta` are configured, `idle` is not. */
function place(routes: Record<string, DeclaredRoute> = {}, random = () => 0.5) {
  const env = { ALPHA_API_KEY: "k", BETA_API_KEY: "k" };
  const transports = ["alpha", "beta", "idle"].map((name) =>
    Transport.connect(
      { name, baseUrl: "http://127.0.0.1:9/v1", models: name === "alpha" ? models : {} },
      { env, file: {} },
    ).transport!
  );
  const catalog = new Catalog(transports, {}, routesOf(routes));
  const planner = { catalog, limits: standard, currency: "RUB", random };
  const plan = (
    fields: Record<string, unknown>,
    { tokens = 10, caller, headers }: {
      tokens?: number;
      caller?: Partial<ApiKey>;
      headers?: Record<string, string>;
    } = {},
  ) => {
    const json = { messages: [{ role: "user", content: "Hello" }], ...fields };
    const body = parsers["/v1/chat/completions"](new TextEncoder().encode(JSON.stringify(json)));
    return planRoute({
      body,
      headers: new Headers(headers),
      caller: { id: "k", name: "k", owner: null, limits: unlimited, ...caller } as ApiKey,
      inputTokens: tokens,
    }, planner);
  };
  /** The targets in order. */
  const order = (...args: Parameters<typeof plan>) =>
    (plan(...args) as Route).targets.map(({ provider, model }) => `${provider}/${model}`).join(" ");
  /** Who was left out, and why. */
  const left = (...args: Parameters<typeof plan>) =>
    (plan(...args) as Route).reason!.excluded
      .map(({ target, reason }) => `${target} ${reason}`);
  const refusal = (...args: Parameters<typeof plan>) => {
    const { code, param, message } = assertThrows(() => plan(...args), RouterError) as RouterError;
    return `${code} ${param}: ${message}`;
  };
  return { catalog, plan, order, left, refusal };
}

const image = [{
  role: "user",
  content: [{ type: "image_url", image_url: { url: "data:image/png;base64,AA==" } }],
}];
const tools = [{ type: "function", function: { name: "f" } }];

Deno.test("a plain name is planned at once, with the standard limits", () => {
  const { plan } = place();
  const { reason, targets, ...rest } = plan({ model: "alpha/open" }) as Route;
  assertEquals(rest, standard);
  assertEquals(targets.map(({ model }) => model), ["open"]);
  assertEquals(reason, { strategy: "as asked", excluded: [] });
});

Deno.test("plain names stay in the client's order, without those that cannot serve", () => {
  const { order, left } = place();
  const models = ["open", "alpha/large", "idle/x", "alpha/small", "alpha/open"];
  const fields = { model: "alpha/small", models };
  assertEquals(order(fields), "alpha/small alpha/open alpha/large");
  assertEquals(order(fields, { tokens: 101 }), "alpha/open alpha/large");
  assertEquals(
    left(fields, { tokens: 101 })[0],
    "alpha/small has room for 100 tokens, not for 101 of input",
  );
  assertMatch(
    left(fields, { tokens: 101 })[1]!,
    /^idle\/x The provider "idle" is not configured\. Set/,
  );
});

Deno.test("what a model cannot do is never asked of it", () => {
  const { order, refusal } = place({
    all: ["alpha/small", "alpha/large", "alpha/blind", "alpha/plain", "alpha/open"],
  });
  const model = "all";
  assertEquals(
    order({ model }),
    "alpha/small alpha/large alpha/blind alpha/plain alpha/open",
  );
  assertEquals(order({ model, tools }), "alpha/small alpha/large alpha/blind alpha/open");
  assertEquals(order({ model, tools: [] }), order({ model }));
  assertEquals(order({ model, functions: [{}] }), order({ model, tools }));
  assertEquals(
    order({ model, messages: image }),
    "alpha/small alpha/large alpha/plain alpha/open",
  );
  assertEquals(order({ model }, { tokens: 100 }), order({ model }));
  const short = "alpha/large alpha/blind alpha/plain alpha/open";
  assertEquals(order({ model }, { tokens: 101 }), short);
  assertEquals(order({ model, max_tokens: 91 }), short);
  assertEquals(order({ model, max_tokens: 5, max_completion_tokens: 91 }), short);
  assertEquals(order({ model, max_tokens: 90 }), order({ model }));

  assertEquals(
    refusal({ model: "alpha/plain", tools }),
    'invalid_request tools: Nothing of "alpha/plain" can serve this request. "alpha/plain": cannot call tools',
  );
  assertEquals(
    refusal({ model: "alpha/small", models: ["alpha/plain"], tools, max_tokens: 91 }),
    'context_length_exceeded messages: Nothing of "alpha/small", "alpha/plain" can serve this request. ' +
      '"alpha/small": has room for 100 tokens, not for 10 of input and 91 asked for; ' +
      '"alpha/plain": cannot call tools',
  );
});

Deno.test("a chat is never asked of what makes embeddings, nor embeddings of what chats", () => {
  const { catalog, order, left, refusal } = place({
    both: ["alpha/vectors", "alpha/speaker", "alpha/open"],
  });
  const asked = "makes embeddings, and does not chat. Ask it at /v1/embeddings";
  assertEquals(order({ model: "both" }), "alpha/speaker alpha/open");
  assertEquals(order({ model: "alpha/vectors", models: ["alpha/speaker"] }), "alpha/speaker");
  assertEquals(left({ model: "both" }), [`alpha/vectors ${asked}`]);
  assertEquals(
    refusal({ model: "alpha/vectors" }),
    `invalid_request model: Nothing of "alpha/vectors" can serve this request. "alpha/vectors": ${asked}`,
  );
  const planner = { catalog, limits: standard, currency: "RUB", random: () => 0.5 };
  const embed = (model: string) =>
    planRoute({
      body: { model, input: ["text"] },
      headers: new Headers(),
      caller: undefined,
      inputTokens: 1,
    }, planner) as Route;
  assertEquals(embed("both").targets.map(({ model }) => model), ["vectors", "open"]);
  const error = assertThrows(() => embed("alpha/speaker"), RouterError) as RouterError;
  assertEquals([error.code, error.param], ["invalid_request", "model"]);
  assertMatch(error.message, /chats, and makes no embeddings\. Ask it at \/v1\/chat\/completions$/);
});

Deno.test("the input of embeddings is held against no context: each text has its own", () => {
  const { catalog } = place();
  const planner = { catalog, limits: standard, currency: "RUB", random: () => 0.5 };
  const body = { model: "alpha/small", input: ["text"] };
  const request = { body, headers: new Headers(), caller: undefined, inputTokens: 1_000 };
  assertEquals((planRoute(request, planner) as Route).targets.length, 1);
});

Deno.test("a route leads to what its region, its conditions and its providers allow", () => {
  const target = (model: string, when: object) => ({ model, when });
  const { order, left, refusal } = place({
    russian: { targets: ["alpha/open", "alpha/large", "alpha/blind"], region: "ru" },
    idle: ["idle/x"],
    whose: {
      targets: [target("beta/key", { keys: ["bot"] }), target("beta/owner", { keys: ["team"] })],
    },
    tagged: { targets: [target("beta/tag", { tags: ["a", "b"] }), "beta/rest"] },
    size: {
      targets: [
        target("beta/short", { maxTokens: 99 }),
        target("beta/long", { minTokens: 100 }),
      ],
    },
    needs: {
      targets: [
        target("beta/tools", { tools: true }),
        target("beta/images", { images: true }),
        target("beta/words", { tools: false, images: false }),
      ],
    },
    spoken: {
      targets: [target("beta/ru", { language: "ru" }), target("beta/en", { language: "en" })],
    },
  });
  assertEquals(order({ model: "russian" }), "alpha/large");
  assertEquals(left({ model: "russian" }), [
    'alpha/open is not known to run in "ru"',
    'alpha/blind is not known to run in "ru"',
  ]);
  assertMatch(
    refusal({ model: "idle" }),
    /^no_route model: Nothing of "idle" can .* "idle\/x": belongs to a provider that is not configured\. Set IDLE_API_KEY$/,
  );
  assertEquals(order({ model: "whose" }, { caller: { name: "bot" } }), "beta/key");
  assertEquals(order({ model: "whose" }, { caller: { owner: "team" } }), "beta/owner");
  assertMatch(
    refusal({ model: "whose" }),
    /^no_route model: .*"beta\/key": takes other keys; "beta\/owner": takes other keys$/,
  );
  assertEquals(
    order({ model: "tagged" }, { headers: { "x-xrouter-tag": "b" } }),
    "beta/tag beta/rest",
  );
  assertEquals(order({ model: "tagged" }, { headers: { "x-xrouter-tag": "c" } }), "beta/rest");
  assertEquals(order({ model: "tagged" }), "beta/rest");
  assertEquals(order({ model: "size" }, { tokens: 99 }), "beta/short");
  assertEquals(order({ model: "size" }, { tokens: 100 }), "beta/long");
  assertEquals(order({ model: "needs", tools }), "beta/tools");
  assertEquals(order({ model: "needs", messages: image }), "beta/images");
  assertEquals(order({ model: "needs", messages: image, tools }), "beta/tools beta/images");
  assertEquals(order({ model: "needs" }), "beta/words");
  const spoken = (content: unknown) =>
    order({
      model: "spoken",
      messages: [
        { role: "user", content: "Earlier words" },
        { role: "user", content },
        { role: "assistant", content: "Ответ" },
      ],
    });
  assertEquals(spoken("Напиши функцию sort()"), "beta/ru");
  assertEquals(spoken([{ type: "text", text: "Привет" }]), "beta/ru");
  assertEquals(spoken("Translate слово into French"), "beta/en");
  assertThrows(() => spoken("1 + 1"), RouterError, 'takes messages in "ru" by their letters');
});

Deno.test("a route goes by priority first, then by its strategy", () => {
  const { order, plan } = place({
    cheap: {
      strategy: "cheapest",
      targets: ["alpha/open", "alpha/large", "alpha/plain", { model: "alpha/small", priority: 2 }, {
        model: "beta/first",
        priority: 0,
      }],
    },
    chance: { strategy: "weighted", targets: ["beta/a", { model: "beta/b", weight: 9 }] },
  });
  assertEquals(
    order({ model: "cheap" }),
    "beta/first alpha/plain alpha/large alpha/open alpha/small",
  );
  // The same number for both: the heavier one comes first.
  assertEquals(order({ model: "chance" }), "beta/b beta/a");
  assertEquals((plan({ model: "chance" }) as Route).reason, {
    route: "chance",
    strategy: "weighted",
    excluded: [],
  });
});

Deno.test("sticky keeps a client's conversation at one target", () => {
  const { plan } = place({
    talk: { strategy: "sticky", targets: ["beta/a", "beta/b", "beta/c", "beta/d"] },
  });
  const first = (fields: object, headers = {}, id = "k") =>
    (plan({ model: "talk", ...fields }, { headers, caller: { id } }) as Route).targets[0]!.model;
  const talk = (...contents: string[]) => ({
    messages: contents.map((content, i) => ({ role: i % 2 ? "assistant" : "user", content })),
  });
  const spread = (of: (i: number) => string) =>
    new Set(Array.from({ length: 40 }, (_, i) => of(i))).size;
  for (const i of [1, 2, 3, 4, 5]) {
    assertEquals(first(talk(`Hello ${i}`)), first(talk(`Hello ${i}`, "Hi", "And then?")));
  }
  assertEquals(spread((i) => first(talk(`Hello ${i}`))), 4);
  assertEquals(spread((i) => first({ ...talk(`Hello ${i}`), user: "u" })), 1);
  assertEquals(spread((i) => first({ ...talk(`Hello ${i}`), prompt_cache_key: "p" })), 1);
  assertEquals(spread((i) => first(talk(`Hello ${i}`), { "x-session-id": "s" })), 1);
  assertEquals(spread((i) => first({ user: "u", prompt_cache_key: `${i}` })), 4);
  assertEquals(spread((i) => first({ user: "u" }, {}, `key ${i}`)), 4, "keys share nothing");
});

Deno.test("a route's limits take the place of the standard ones", () => {
  const { plan, catalog } = place({
    own: {
      targets: [{ model: "beta/a", timeouts: { firstByte: 5 } }, "beta/b"],
      attempts: 9,
      retries: 0,
      time: 77,
      timeouts: { idle: 7 },
      onBreak: "whole",
      hedgeAfter: 450,
    },
    usual: { targets: ["beta/a", "beta/b"], hedgeAfter: true },
  });
  const { targets, reason: _reason, ...rest } = plan({ model: "own", stream: true }) as Route;
  assertEquals(rest, {
    attempts: 9,
    retries: 0,
    time: 77,
    timeouts: limits({ idle: 7 }),
    onBreak: "whole",
    hedgeAfter: 450,
  });
  assertEquals(targets.map(({ timeouts }) => timeouts), [{ firstByte: 5 }, undefined]);
  const usual = (stream = true) => (plan({ model: "usual", stream }) as Route).hedgeAfter;
  assertEquals(usual(), 1_000);
  catalog.traffic.note(targets[0]!, 350);
  assertEquals(usual(), 700);
  for (let i = 0; i < 50; i++) catalog.traffic.note(targets[0]!, 20);
  assertEquals(usual(), 200);
  // Only streams have a first token.
  assertEquals(usual(false), undefined);
  assertEquals((plan({ model: "own" }) as Route).hedgeAfter, undefined);
});

Deno.test("x-xrouter-on-break says what becomes of a stream that breaks off", () => {
  const { plan, refusal } = place({ own: { targets: ["beta/a"], onBreak: "whole" } });
  const policy = (model: string, text: string) =>
    (plan({ model }, { headers: { "x-xrouter-on-break": text } }) as Route).onBreak;
  assertEquals(policy("own", "error"), "error");
  assertEquals(policy("beta/a", " Continue"), "continue");
  for (const text of ["", "retry", "whole,error"]) {
    assertEquals(
      refusal({ model: "own" }, { headers: { "x-xrouter-on-break": text } }),
      'invalid_request x-xrouter-on-break: "x-xrouter-on-break" must be one of "error", "continue", "whole"',
    );
  }
});

Deno.test("a target that a route has twice is asked once, as the condition says that fits", () => {
  const model = "beta/a";
  const { plan } = place({
    twice: {
      targets: [{ model, when: { minTokens: 100 }, timeouts: { idle: 9 } }, "beta/b", model],
    },
  });
  const planned = (tokens: number) => {
    const { targets, reason } = plan({ model: "twice" }, { tokens }) as Route;
    return [targets.map(({ model, timeouts }) => `${model} ${timeouts?.idle}`), reason!.excluded];
  };
  assertEquals(planned(100), [["a 9", "b undefined"], []]);
  assertEquals(planned(99), [["b undefined", "a undefined"], []]);
});

Deno.test("several names with a route among them are as asked, with the first route's limits", () => {
  const { plan } = place({
    first: { targets: ["beta/a", "beta/b"], attempts: 7 },
    second: { targets: ["beta/b", "beta/c"], attempts: 8 },
  });
  const { targets, attempts, reason } = plan({
    model: "alpha/open",
    models: ["first", "second"],
  }) as Route;
  assertEquals(targets.map(({ model }) => model), ["open", "a", "b", "c"]);
  assertEquals([attempts, reason!.route, reason!.strategy], [7, "first", "as asked"]);
});

Deno.test("a key that may use none of a route's targets is told so", () => {
  const { refusal, order } = place({ best: ["alpha/small", "beta/a"], odd: ["alpha/small"] });
  const caller = { name: "bot", limits: { ...unlimited, models: ["beta/*"] } };
  assertEquals(order({ model: "best" }, { caller }), "beta/a");
  const said = 'forbidden model: Key "bot" may not use the model "odd". Allowed: "beta/*"';
  assertEquals(refusal({ model: "odd" }, { caller }), said);
});

Deno.test("clients narrow and reorder by OpenRouter's provider object", () => {
  const { order, left, refusal, catalog } = place({
    all: ["alpha/large", "alpha/small", "beta/a", "beta/b"],
  });
  const by = (provider: object) => order({ model: "all", provider });
  assertEquals(by({}), "alpha/large alpha/small beta/a beta/b");
  assertEquals(by({ order: ["beta"] }), "beta/a beta/b alpha/large alpha/small");
  assertEquals(by({ order: ["beta/b", "alpha"] }), "beta/b alpha/large alpha/small beta/a");
  assertEquals(by({ only: ["beta/b", "alpha/small", "gamma"] }), "alpha/small beta/b");
  assertEquals(by({ ignore: ["alpha", "beta/a"] }), "beta/b");
  assertEquals(by({ allow_fallbacks: false }), "alpha/large");
  assertEquals(by({ order: ["beta"], allow_fallbacks: false }), "beta/a beta/b");
  assertEquals(by({ sort: "price" }), "alpha/small alpha/large beta/a beta/b");
  assertEquals(by({ sort: "price", order: ["beta/b"] }), "beta/b alpha/small alpha/large beta/a");
  catalog.traffic.note({ provider: "beta", model: "a", facts: {} }, 9);
  assertEquals(by({ sort: "latency" }), "beta/a alpha/large alpha/small beta/b");
  assertEquals(by({ max_price: { prompt: 1, completion: 1 } }), "alpha/small");
  assertEquals(by({ max_price: { completion: 10 } }), "alpha/large alpha/small");
  assertEquals(by({ max_price: {} }), by({}));
  assertEquals(
    by({ require_parameters: true, only: null, sort: null, max_price: { prompt: null } }),
    by({}),
  );
  assertEquals(left({ model: "all", provider: { max_price: { prompt: 1 }, ignore: ["beta/b"] } }), [
    'alpha/large costs more than "provider.max_price"',
    'beta/a has no price in RUB to hold "max_price" against',
    'beta/b is in "provider.ignore"',
  ]);
  assertMatch(
    refusal({ model: "all", provider: { only: ["openai"] } }),
    /^invalid_request provider: .*"alpha\/large": is not in "provider\.only"; /,
  );
  assertMatch(
    refusal({ model: "all", provider: { order: ["openai"], allow_fallbacks: false } }),
    /^invalid_request provider: .*"provider\.allow_fallbacks" ended the list/,
  );
  // A client cannot reach by it what the route does not lead to.
  assertEquals(by({ order: ["alpha/open"] }), by({}));
});

Deno.test("a provider object of the wrong form is refused by field", () => {
  const { refusal } = place();
  const cases: [provider: unknown, said: RegExp][] = [
    ["openai", /"provider" must be an object such as/],
    [
      { zdr: true, quantizations: [] },
      /"provider" has unknown fields: "zdr", "quantizations"\. Known: "order"/,
    ],
    [{ order: "openai" }, /"provider\.order" must be a list of at most 32 names/],
    [{ only: [5] }, /"provider\.only\[0\]" must be a list/],
    [{ sort: "throughput" }, /"provider\.sort" .*nobody measures throughput/],
    [{ sort: { by: "price" } }, /"provider\.sort" must be "price" or "latency"/],
    [{ allow_fallbacks: "no" }, /"provider\.allow_fallbacks" must be true or false/],
    [{ max_price: { prompt: -1 } }, /"provider\.max_price\.prompt" must be a number/],
    [{ max_price: { image: 1 } }, /"provider\.max_price" has unknown fields: "image"/],
  ];
  for (const [provider, said] of cases) {
    assertMatch(refusal({ model: "alpha/open", provider }), said);
  }
});

Deno.test("a name that nobody is known to have is looked for at the vendors", async () => {
  const { plan } = place();
  const planned = plan({ model: "unheard-of", models: ["alpha/open"] });
  assertEquals((await planned).targets.map(({ model }) => model), ["open"]);
  assertEquals((await planned).reason!.excluded[0]!.target, "unheard-of");
  const { code } = await assertRejects(
    async () => await plan({ model: "unheard-of" }),
    RouterError,
    'No provider has the model "unheard-of"',
  ) as RouterError;
  assertEquals(code, "no_route");
});
