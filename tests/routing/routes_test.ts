import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { defineRoutes } from "xrouter/plugin";
import { ConfigError } from "../../core/config.ts";
import { assemble, closeProviders } from "../../core/assembly.ts";
import { type DeclaredRoute, readRoutes } from "../../core/routing/routes.ts";
import { dropIn } from "../support/drop_in.ts";
import { ask, startRouter } from "../support/router.ts";

const providers = ["a", "b"];

function problemsOf(routes: unknown): string[] {
  const source = { at: "file", routes: routes as Record<string, DeclaredRoute> };
  return readRoutes([source], providers).problems.map(({ at, message }) => `${at}: ${message}`);
}

Deno.test("readRoutes takes a model, a list and an object, lower priorities first", () => {
  const { routes, problems } = readRoutes([{
    at: "file",
    routes: {
      one: "a/x",
      two: ["a/x", "b/org/y"],
      three: {
        targets: ["a/x", { model: "b/y", priority: 0, weight: 2.5, timeouts: { idle: 5 } }],
        strategy: "sticky",
        hedgeAfter: true,
      },
    },
  }], providers);
  assertEquals(problems, []);
  const list = (name: string) => routes.get(name)!.targets.map(({ id }) => id);
  assertEquals([list("one"), list("two"), list("three")], [
    ["a/x"],
    ["a/x", "b/org/y"],
    ["b/y", "a/x"],
  ]);
  assertEquals([...routes.values()].map(({ strategy }) => strategy), [
    "priority",
    "priority",
    "sticky",
  ]);
  const [first, second] = routes.get("three")!.targets;
  assertEquals([first!.weight, first!.timeouts, second!.weight, second!.priority], [
    2.5,
    { idle: 5 },
    1,
    1,
  ]);
  assertEquals(routes.get("two")!.targets[1]!.provider, "b");
  assertEquals(routes.get("two")!.targets[1]!.model, "org/y");
});

Deno.test("readRoutes refuses what is wrong, each with its place and cure", () => {
  const cases: [routes: unknown, said: RegExp][] = [
    [{ x: "gpt" }, /^file, routes: "x": must be "provider\/model"$/],
    [{ x: ["a/x", ""] }, /"x\.1": must be "provider\/model"$/],
    [{ x: { targets: [] } }, /"x\.targets": must name a target$/],
    [{ x: {} }, /"x\.targets": is missing\. It must be a list$/],
    [{ x: { targets: ["a/x"], stategy: "sticky" } }, /"x": unknown field "stategy"\. Known /],
    [
      { x: { targets: ["a/x"], strategy: "best" } },
      /"x\.strategy": must be "priority", .* or "sticky"$/,
    ],
    [{ x: { targets: ["a/x"], region: "RU" } }, /"x\.region": must be a country/],
    [{ x: { targets: ["a/x"], hedgeAfter: "auto" } }, /hedgeAfter": must be true or milliseconds$/],
    [{ x: { targets: ["a/x", "b/y"], hedgeAfter: 0 } }, /hedgeAfter": /],
    [{ x: { targets: ["a/x"], hedgeAfter: 30 } }, /"x\.hedgeAfter": needs a second target/],
    [{ x: { targets: ["a/x", "b/y"], hedgeAfter: 86_400_001 } }, /hedgeAfter": .*, a day$/],
    [{ x: { targets: ["a/x"], time: 2 ** 31 } }, /"x\.time": must be at most 86400000 .*, a day$/],
    [{ x: { targets: ["a/x"], timeouts: { idle: 2 ** 31 } } }, /timeouts\.idle": .*, a day$/],
    [{ x: ["a/x", "b/y", "a/x"] }, /"x\.2": names "a\/x" again\. Name it once/],
    [{ x: { targets: ["a/x", { model: "a/x", weight: 2, when: {} }] } }, /"x\.targets\.1": names/],
    [
      { x: { targets: [{ model: "a/x", when: { minTokens: 5, maxTokens: 4 } }] } },
      /"x\.targets\.0\.when\.minTokens": must not be above "maxTokens"/,
    ],
    [{ x: { targets: ["a/x"], timeouts: { begin: 5 } } }, /"x\.timeouts": unknown field "begin"\./],
    [
      { x: { targets: [{ model: "a/x", weight: 0 }] } },
      /"x\.targets\.0\.weight": must be above 0$/,
    ],
    [
      { x: { targets: [{ model: "a/x", when: { tool: true } }] } },
      /0\.when": unknown field "tool"\./,
    ],
    [{ x: { targets: [{ model: "a/x", when: { language: "uk" } }] } }, /when\.language": /],
    [{ x: "x/y" }, /^file, routes\["x"\]: "x\/y": there is no provider "x"\. There are: a, b$/],
    [{ "a/x": "a/x" }, /^file, routes\["a\/x"\]: "a\/x" is a route itself\. Name models$/],
    [{ "a/x": "a/y", z: ["b/y", "a/x"] }, /routes\["z"\]: "a\/x" is a route itself/],
    [{ "": "a/x" }, /must not be empty$/],
    [7, /routes: "": must be an object$/],
  ];
  for (const [routes, said] of cases) {
    const problems = problemsOf(routes);
    assertEquals(problems.length, 1, JSON.stringify([routes, problems]));
    assertMatch(problems[0]!, said);
  }
});

Deno.test("readRoutes takes a model twice where each is for other requests", () => {
  const when = { minTokens: 100, maxTokens: 100 };
  const targets = ["a/x", { model: "b/y", when }, { model: "b/y", when: { tools: true } }];
  assertEquals(problemsOf({ x: { targets, time: 86_400_000 } }), []);
});

Deno.test("readRoutes refuses one name in two files, and sees routes of later files", () => {
  const { problems } = readRoutes([
    { at: "first", routes: { x: "a/x", y: "b/late" } },
    { at: "second", routes: { x: "a/y", "b/late": "a/y" } },
  ], providers);
  assertEquals(problems, [
    {
      at: 'second, routes["x"]',
      message: "there is one already in first. Rename one of them",
    },
    { at: 'first, routes["y"]', message: '"b/late" is a route itself. Name models' },
  ]);
});

Deno.test("defineRoutes makes a plugin of routes alone", () => {
  const plugin = defineRoutes("team", { x: "a/x" });
  assertEquals([plugin.name, plugin.routes], ["team", { x: "a/x" }]);
  assertEquals(plugin.setup({}, {} as never), {});
});

const team = (routes: unknown) => `
import { defineRoutes } from "xrouter/plugin";

export default defineRoutes("team", ${JSON.stringify(routes)} as never);
`;

Deno.test("routes that a plugin brings are served and listed as those of the file are", async () => {
  await using folder = await dropIn({
    "42_team.ts": team({ "team/best": ["gigachat/GigaChat-2", "echo/echo"] }),
  });
  await using router = await startRouter({ XROUTER_PLUGINS_DIR: folder.path }, {
    routes: { fast: "echo/echo" },
  });
  const response = await router.chat(ask("team/best"));
  assertEquals((await response.json()).model, "echo");
  const { data } = await (await router.get("/v1/models")).json();
  const own = data.filter((each: { owned_by: string }) => each.owned_by === "xrouter");
  assertEquals(own.map(({ id }: { id: string }) => id), ["fast", "team/best"]);
});

Deno.test("routes that a plugin brings are checked as those of the file are", async () => {
  await using folder = await dropIn({
    "41_wrong.ts": team({ x: { targets: ["echo/echo"], weight: 1 } }),
    "42_twice.ts": team({ fast: "echo/echo", lost: "nobody/x" }).replace('"team"', '"other"'),
    "x.json": JSON.stringify({ routes: { fast: "echo/echo" } }),
  });
  const env = { XROUTER_PLUGINS_DIR: folder.path, XROUTER_CONFIG: `${folder.path}/x.json` };
  const open = async () => await closeProviders((await assemble(env)).catalog);
  const { problems } = await assertRejects(open, ConfigError) as ConfigError;
  // What else lies in the folder is no plugin.
  const said = problems.map(({ at, message }) =>
    `${at.replace(`${folder.path}/`, "")}: ${message}`
  );
  assertEquals(
    said[0],
    '41_wrong.ts: "routes.x": unknown field "weight". Known fields: "targets", "strategy", ' +
      '"region", "attempts", "retries", "time", "timeouts", "onBreak", "hedgeAfter"',
  );
  assertEquals(
    said[1],
    '42_twice.ts, routes["fast"]: there is one already in configuration file. Rename one of them',
  );
  assertMatch(said[2]!, /^42_twice\.ts, routes\["lost"\]: "nobody\/x": there is no provider/);
  assertEquals(said.length, 3);
});
