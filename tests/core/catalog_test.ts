import { assertEquals, assertRejects } from "@std/assert";
import { Catalog } from "../../core/catalog.ts";
import type { DeclaredFacts } from "../../core/model.ts";
import { RouterError } from "../../core/errors.ts";
import type { Provider } from "../../core/provider.ts";
import { createLog } from "../../core/log.ts";
import { startOfDay } from "../../core/prices/tariff.ts";
import { Transport } from "../../core/transport.ts";
import { HeldClock } from "../support/clock.ts";
import { routesOf } from "../support/routes.ts";

const price = { currency: "RUB", input: 1, output: 2 };

/** A provider whose vendor lists some models; `asked` counts how often it was asked. */
function listing(name: string, list: () => string[], rest: Partial<Provider> = {}) {
  const provider = {
    name,
    baseUrl: `https://${name}.invalid/v1`,
    asked: 0,
    // deno-lint-ignore require-await
    async listModels() {
      counted.asked++;
      return list();
    },
    ...rest,
  };
  const counted = provider;
  return counted;
}

function catalogOf(
  providers: readonly (Provider & { asked?: number })[],
  overrides?: Record<string, DeclaredFacts>,
  routes: Record<string, string[]> = {},
): Catalog {
  const transports = providers.map(({ asked: _asked, ...provider }) => {
    const env = provider.name === "idle" ? {} : {
      [`${provider.name.toUpperCase()}_API_KEY`]: "secret",
    };
    return Transport.connect(provider, { env, file: {} }).transport!;
  });
  return new Catalog(transports, overrides, routesOf(routes));
}

async function refusal(catalog: Catalog, ...names: string[]): Promise<string> {
  const error = await assertRejects(() => catalog.resolve(names), RouterError);
  assertEquals([error.code, error.param], ["no_route", "model"]);
  return error.message;
}

/** Lets `ms` pass on the clock of `performance.now`. */
function skipTime(): { pass: (ms: number) => void } & Disposable {
  const real = performance.now;
  let skipped = 0;
  performance.now = () => real.call(performance) + skipped;
  return { pass: (ms) => skipped += ms, [Symbol.dispose]: () => void (performance.now = real) };
}

Deno.test("Catalog finds provider/model without asking anybody, also what is not listed", async () => {
  const alpha = listing("alpha", () => ["one"]);
  const catalog = catalogOf([alpha]);
  assertEquals(await catalog.resolve(["alpha/any/thing"]), [
    { provider: "alpha", model: "any/thing", facts: {} },
  ]);
  assertEquals(alpha.asked, 0);
});

Deno.test("Catalog finds a model by the name that one provider knows", async () => {
  const alpha = listing("alpha", () => ["one", "org/two"], { models: { known: { context: 9 } } });
  const beta = listing("beta", () => ["three"]);
  const catalog = catalogOf([alpha, beta]);
  const names = ["known", "three", "org/two"];
  assertEquals(
    (await catalog.resolve(names)).map(({ provider, model }) => `${provider}:${model}`),
    [
      "alpha:known",
      "beta:three",
      "alpha:org/two",
    ],
  );
});

Deno.test("Catalog asks for an unknown model at most once a minute", async () => {
  using time = skipTime();
  let list: string[] = [];
  const alpha = listing("alpha", () => list);
  const catalog = catalogOf([alpha]);
  for (let i = 0; i < 3; i++) await refusal(catalog, "new");
  assertEquals(alpha.asked, 1);
  list = ["new"];
  time.pass(61_000);
  assertEquals((await catalog.resolve(["new"])).length, 1);
  assertEquals(alpha.asked, 2);
});

Deno.test("Catalog asks once for many requests at the same time", async () => {
  const alpha = listing("alpha", () => ["one"]);
  const catalog = catalogOf([alpha]);
  await Promise.all(Array.from({ length: 20 }, () => catalog.resolve(["one"])));
  assertEquals(alpha.asked, 1);
});

Deno.test("Catalog keeps the last list of a vendor that fails", async () => {
  using time = skipTime();
  let broken = false;
  const alpha = listing("alpha", () => {
    if (broken) throw new Error("down");
    return ["one"];
  });
  const beta = listing("beta", () => ["two"]);
  const catalog = catalogOf([alpha, beta]);
  const ids = async () => (await catalog.models()).map(({ id }) => id);
  assertEquals(await ids(), ["alpha/one", "beta/two"]);
  broken = true;
  time.pass(11 * 60_000);
  assertEquals(await ids(), ["alpha/one", "beta/two"]);
  assertEquals(await ids(), ["alpha/one", "beta/two"]);
  assertEquals([alpha.asked, beta.asked], [2, 2]);
});

Deno.test("Catalog leaves out what a vendor offers to none of its accounts, once all have told", async () => {
  using time = skipTime();
  const lists: Record<string, string[] | undefined> = { first: ["one"], second: undefined };
  const alpha = listing("alpha", () => [], {
    models: { one: { context: 8 }, two: {}, old: {}, named: {} },
    renamed: { old: "two" },
    accounts: () => Object.keys(lists).map((name) => ({ name, settings: { name } })),
    // deno-lint-ignore require-await
    async listModels({ settings }) {
      const list = lists[(settings as { name: string }).name];
      if (list === undefined) throw new Error("down");
      return list;
    },
  });
  const catalog = catalogOf([alpha], { "alpha/named": {}, "alpha/unlisted": {} });
  const ids = async () => {
    time.pass(11 * 60_000);
    return (await catalog.models()).map(({ model }) => model).sort();
  };
  const all = ["named", "old", "one", "two"];
  assertEquals(await ids(), all);
  // A list of nothing tells nothing.
  lists.second = [];
  assertEquals(await ids(), all);
  lists.second = ["three"];
  assertEquals(await ids(), ["named", "one", "three"]);
  lists.second = ["two"];
  assertEquals(await ids(), all);
  lists.second = ["one"];
  assertEquals(await ids(), ["named", "one"]);
  // What is not listed can be asked for all the same.
  const found = await catalog.resolve(["two", "alpha/two", "old", "alpha/unlisted"]);
  assertEquals(found.map(({ model }) => model), ["two", "old", "unlisted"]);
});

Deno.test("Catalog knows no kind of a name that vendors list for both", async () => {
  const kinds: Record<string, ("chat" | "embeddings")[]> = {
    one: ["chat"],
    both: ["chat", "embeddings"],
  };
  const alpha = listing("alpha", () => [], {
    listModels: () =>
      Promise.resolve(
        Object.entries(kinds).flatMap(([id, each]) => each.map((kind) => ({ id, kind }))),
      ),
  });
  const catalog = catalogOf([alpha]);
  const facts = (await catalog.models()).map(({ facts }) => facts);
  assertEquals(facts, [{ kind: "chat" }, {}]);
});

Deno.test("Catalog knows of a name what is said of it, then what is said of its model", () => {
  const alpha = listing("alpha", () => [], {
    models: { new: { context: 8, maxOutput: 4, encoding: "cl100k_base", price } },
    renamed: { old: "new" },
  });
  const dear = { ...price, input: 9 };
  const facts = (overrides: Record<string, DeclaredFacts>) =>
    catalogOf([alpha], overrides).target("alpha", "old").facts;
  const rest = { maxOutput: 4, encoding: "cl100k_base" } as const;
  assertEquals(facts({}), { ...rest, context: 8, price });
  assertEquals(facts({ "alpha/new": { price: dear } }), { ...rest, context: 8, price: dear });
  assertEquals(facts({ "alpha/old": { price: dear, context: 9 } }), {
    ...rest,
    context: 9,
    price: dear,
  });
  assertEquals(catalogOf([alpha]).encodingOf("old"), "cl100k_base");
  assertEquals(catalogOf([alpha]).find("old")?.model, "old");
});

Deno.test("Catalog says what to write for a name that several have", async () => {
  const catalog = catalogOf([listing("alpha", () => ["one"]), listing("beta", () => ["one"])]);
  await catalog.models();
  assertEquals(
    await refusal(catalog, "one"),
    'Several providers have the model "one". Write "alpha/one" or "beta/one"',
  );
});

Deno.test("Catalog says what to set for a provider that is not configured", async () => {
  const idle: Provider = { name: "idle", baseUrl: "https://x.invalid", models: { lazy: {} } };
  const catalog = catalogOf([idle]);
  assertEquals(
    await refusal(catalog, "idle/lazy"),
    'The provider "idle" is not configured. Set IDLE_API_KEY',
  );
  assertEquals(
    await refusal(catalog, "lazy"),
    'The model "lazy" belongs to the provider "idle", which is not configured. Set IDLE_API_KEY',
  );
  assertEquals(await catalog.models(), []);
});

Deno.test("Catalog takes no property of an object for a model", async () => {
  const catalog = catalogOf([listing("alpha", () => [], { models: {} })]);
  for (const name of ["constructor", "__proto__", "toString", "hasOwnProperty"]) {
    await refusal(catalog, name);
    assertEquals((await catalog.resolve([`alpha/${name}`]))[0]?.facts, {}, name);
  }
});

Deno.test("Catalog passes over names that cannot be found, as long as one is left", async () => {
  const catalog = catalogOf([listing("alpha", () => ["one"])]);
  const models = async (...names: string[]) =>
    (await catalog.resolve(names)).map(({ model }) => model);
  assertEquals(await models("nowhere", "alpha/two", "one", "alpha/one", "alpha/two"), [
    "two",
    "one",
  ]);
  assertEquals((await refusal(catalog, "first", "second")).includes('"first"'), true);
});

Deno.test("Catalog follows a route to one model or to several", async () => {
  const catalog = catalogOf([listing("alpha", () => [])], {}, {
    fast: ["alpha/small"],
    best: ["alpha/large", "idle/x", "alpha/small"],
  });
  const models = async (name: string) => (await catalog.resolve([name])).map(({ model }) => model);
  assertEquals(await models("fast"), ["small"]);
  assertEquals(await models("best"), ["large", "small"]);
});

Deno.test("Catalog knows of a model what the configuration says, then what the provider says", () => {
  const alpha = listing("alpha", () => [], {
    models: { one: { context: 8, maxOutput: 4, encoding: "cl100k_base" } },
  });
  const catalog = catalogOf([alpha], { "alpha/one": { context: 16, price } }, {
    quick: ["alpha/one"],
  });
  assertEquals(catalog.target("alpha", "one").facts, {
    context: 16,
    maxOutput: 4,
    encoding: "cl100k_base",
    price,
  });
  const encodings = ["one", "alpha/one", "quick", "other", "alpha/other", "beta/one", "/", ""]
    .map((name) => catalog.encodingOf(name));
  assertEquals(encodings.slice(0, 3), ["cl100k_base", "cl100k_base", "cl100k_base"]);
  assertEquals(encodings.slice(3).every((encoding) => encoding === undefined), true);
});

Deno.test("Catalog tells what its configuration names", () => {
  const alpha = listing("alpha", () => ["listed"], { models: { own: {} } });
  const catalog = catalogOf([alpha], { "alpha/priced": { price } }, { best: ["alpha/routed"] });
  const named = (model: string) => catalog.isListed({ provider: "alpha", model, facts: {} });
  assertEquals(["own", "priced", "routed", "listed", "constructor"].map(named), [
    true,
    true,
    true,
    false,
    false,
  ]);
  assertEquals(catalog.isListed({ provider: "beta", model: "own", facts: {} }), false);
});

Deno.test("Catalog prefers a provider's own table to what vendors list", async () => {
  const facts = { price };
  const catalog = catalogOf([
    listing("owner", () => ["shared", "other"], { models: { shared: facts } }),
    listing("reseller", () => ["shared", "other"]),
  ]);
  await catalog.models();
  const [target] = await catalog.resolve(["shared"]);
  assertEquals([target!.provider, target!.facts], ["owner", facts]);
  assertEquals(
    await refusal(catalog, "other"),
    'Several providers have the model "other". Write "owner/other" or "reseller/other"',
  );
});

Deno.test("Catalog gives a target the price in force, from its first moment on", () => {
  using clock = new HeldClock();
  const inDays = (days: number) =>
    new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10);
  const alpha = listing("alpha", () => [], {
    models: { one: { context: 8, price: [price, { ...price, input: 5, from: inDays(2) }] } },
  });
  const catalog = catalogOf([alpha], {
    "alpha/one": { price: { ...price, input: 9, from: inDays(4) } },
    "alpha/new": { maxOutput: 4, price: [{ ...price, from: inDays(1) }] },
  });
  const facts = (model: string) => catalog.target("alpha", model).facts;
  assertEquals(facts("one"), { context: 8, price });
  assertEquals(facts("new"), { maxOutput: 4 });
  const until = (days: number) => startOfDay(inDays(days)) - Date.now();
  clock.pass(until(2) - 1);
  assertEquals(facts("one"), { context: 8, price });
  assertEquals(facts("new"), { maxOutput: 4, price });
  clock.pass(1);
  assertEquals(facts("one"), { context: 8, price: { ...price, input: 5 } });
  clock.pass(until(2));
  assertEquals(facts("one"), { context: 8, price: { ...price, input: 9 } });
});

Deno.test("Catalog waits for prices that were set while nobody asked, and only then", async () => {
  using clock = new HeldClock();
  const catalog = catalogOf([listing("alpha", () => ["one"], { models: { one: { price } } })]);
  const set = (input: number) => [
    {
      provider: "alpha",
      model: "one",
      source: "command",
      tariff: [{ from: 0, price: { ...price, input } }],
    } as const,
  ];
  let input = 3;
  await catalog.prices.follow(() => Promise.resolve(set(input)), createLog(() => {}));
  const resolved = async () => (await catalog.resolve(["one"]))[0]!.facts.price?.input;
  const listed = async () => (await catalog.models())[0]!.facts.price?.input;
  input = 4;
  assertEquals([await resolved(), await listed()], [3, 3]);
  clock.pass(2_000);
  assertEquals(await resolved(), 4);
  input = 5;
  clock.pass(2_000);
  assertEquals(await listed(), 5);
  // Who aims at a model without asking for it by name keeps the prices current, too.
  input = 6;
  clock.pass(1_000);
  assertEquals(catalog.target("alpha", "one").facts.price?.input, 5);
  await catalog.prices.close();
  assertEquals(catalog.target("alpha", "one").facts.price?.input, 6);
});
