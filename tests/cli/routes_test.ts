import { assertEquals, assertMatch } from "@std/assert";
import { inFolder, xrouter } from "./xrouter.ts";

const file = `{
  // What clients may ask for
  "routes": {
    "fast": "echo/echo",
    "best": {
      "strategy": "weighted",
      "region": "ru",
      "targets": [
        { "model": "echo/echo", "weight": 2.5, "when": { "keys": ["a", "b"], "tools": false } },
        { "model": "openai/gpt", "priority": 2, "timeouts": { "firstByte": 500 } },
      ],
      "attempts": 6,
      "retries": 0,
      "time": 30000,
      "timeouts": { "idle": 1500 },
      "onBreak": "whole",
      "hedgeAfter": true,
    },
  },
  "models": { "echo/echo": { "region": "ru" } },
}`;

Deno.test("routes shows targets in order, and the limits in force", () =>
  inFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/xrouter.json`, file);
    const env = { XROUTER_CONFIG: "xrouter.json", XROUTER_IDLE_MS: "7000" };
    const [text, json] = await Promise.all([
      xrouter(folder, ["routes"], env),
      xrouter(folder, ["routes", "--json"], env),
    ]);
    assertEquals([text.code, text.stderr, json.code, json.stderr], [0, "", 0, ""]);
    const lines = [
      /^best$/m,
      /^ {2}weighted, only ru, hedge after twice the usual time, from configuration file$/m,
      /^ {2}6 tries in all, 0 again of one target, 30 s in all, on break: whole$/m,
      /^ {2}1 +echo\/echo +1 +2\.5 +keys a\|b, tools false +10 s +10 s +60 s +1\.5 s +120 s +600 s +yes$/m,
      /^ {2}2 +openai\/gpt +2 +1 +all +500 ms +10 s +60 s +1\.5 s +120 s +600 s +not configured\. Set OPENAI_API_KEY$/m,
      /^ {2}priority, no hedge, from configuration file$/m,
      /^Models that no route names\n {2}4 tries in all, 1 again of one target, 600 s in all, on break: error$/m,
    ];
    for (const line of lines) assertMatch(text.stdout, line);
    const { standard, routes } = JSON.parse(json.stdout);
    assertEquals([standard.timeouts.idle, standard.attempts], [7_000, 4]);
    assertEquals(routes.map(({ name }: { name: string }) => name), ["fast", "best"]);
    const { targets, ...best } = routes[1];
    assertEquals(best, {
      name: "best",
      file: "configuration file",
      strategy: "weighted",
      region: "ru",
      hedgeAfter: true,
      attempts: 6,
      retries: 0,
      time: 30_000,
      timeouts: { ...standard.timeouts, idle: 1_500 },
      onBreak: "whole",
    });
    assertEquals(targets[1], {
      target: "openai/gpt",
      priority: 2,
      weight: 1,
      when: {},
      timeouts: { ...best.timeouts, firstByte: 500 },
      unused: "not configured. Set OPENAI_API_KEY",
    });
  }));

Deno.test("routes says where the configuration file is wrong", () =>
  inFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/xrouter.json`, file.replace("weighted", "heavy"));
    const { code, stderr } = await xrouter(folder, ["routes"], { XROUTER_CONFIG: "xrouter.json" });
    assertEquals(code, 1);
    assertMatch(stderr, /xrouter\.json:6:7: "routes\.best\.strategy": must be "priority"/);
  }));
