import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { inFolder, xrouter } from "./xrouter.ts";

const spy = `
import { definePlugin, setting } from "xrouter/plugin";
import { z } from "zod";

export default definePlugin({
  name: "spy",
  requires: ["caller"],
  onError: "skip",
  config: z.strictObject({
    token: setting("SPY_TOKEN", z.string().optional(), "What it signs with", { secret: true }),
    target: setting("SPY_TARGET", z.string().optional(), "Whom it tells"),
    depth: z.number().default(3),
  }),
  setup() {
    throw new Error("a listing sets no plugin up");
  },
});
`;

Deno.test("plugins shows the pipeline and its settings without opening anything", () =>
  inFolder(async (folder) => {
    await Deno.mkdir(`${folder}/mine`);
    await Deno.writeTextFile(`${folder}/mine/12_spy.ts`, spy);
    const env = {
      XROUTER_PLUGINS_DIR: "mine",
      XROUTER_CONFIG: "xrouter.json",
      SPY_TOKEN: "CANARY",
      SPY_TARGET: "redis://user:CANARY@host:1",
      API_RATE_LIMIT: "7",
    };
    await Deno.writeTextFile(
      `${folder}/xrouter.json`,
      JSON.stringify({ plugins: { spy: { depth: 4, token: "CANARY" } } }),
    );
    const [text, json] = await Promise.all([
      xrouter(folder, ["plugins"], env),
      xrouter(folder, ["plugins", "--json"], env),
    ]);
    for (const { code, stdout, stderr } of [text, json]) {
      assertEquals([code, stderr], [0, ""]);
      assert(!stdout.includes("CANARY"), "a secret is shown");
    }
    const names = [...text.stdout.matchAll(/^\d+ +(\S+)/gm)].map(([, name]) => name);
    assertEquals(names.slice(0, 3), ["auth", "spy", "load-shedding"]);
    assertMatch(text.stdout, /^2 +spy +caller +- +skip +mine\/12_spy\.ts$/m);
    assertMatch(text.stdout, /^API_RATE_LIMIT +7 +environment +Requests a minute/m);
    assertMatch(text.stdout, /^SPY_TOKEN +\(secret\) +environment +What it signs with$/m);
    assertMatch(text.stdout, /^spy: depth +4 +configuration file +-$/m);

    const list = JSON.parse(json.stdout);
    assertEquals(list.map(({ name }: { name: string }) => name), names);
    const setting = { variable: null, description: null, secret: false };
    assertEquals(list[1], {
      name: "spy",
      file: await Deno.realPath(`${folder}/mine/12_spy.ts`),
      requires: ["caller"],
      provides: [],
      onError: "skip",
      settings: [
        {
          field: "token",
          variable: "SPY_TOKEN",
          description: "What it signs with",
          secret: true,
          value: null,
          source: "environment",
        },
        {
          ...setting,
          field: "target",
          variable: "SPY_TARGET",
          description: "Whom it tells",
          value: "redis://host:1",
          source: "environment",
        },
        { ...setting, field: "depth", value: 4, source: "configuration file" },
      ],
    });
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), [
      "mine",
      "xrouter.json",
    ]);
  }));

Deno.test("plugins lists every problem of every file at once", () =>
  inFolder(async (folder) => {
    await Deno.mkdir(`${folder}/broken`);
    const files: Record<string, string> = {
      "05_early.ts": 'export default { name: "early", requires: ["caller"], setup: () => ({}) };',
      "11_owner.ts": 'export default { name: "o", provides: ["caller"], setup: () => ({}) };',
      "90_typo.ts": 'export default { name: "typo", setpu: () => ({}) };',
      "91_syntax.ts": "export default {",
      "92_empty.ts": "export const nothing = 1;",
      "unnumbered.ts": 'export default { name: "auth", setup: () => ({}) };',
    };
    for (const [name, text] of Object.entries(files)) {
      await Deno.writeTextFile(`${folder}/broken/${name}`, text);
    }
    await Deno.writeTextFile(
      `${folder}/xrouter.json`,
      JSON.stringify({ plugins: { nobody: {} }, providers: { openai: { apiKey: 7 } } }),
    );
    const { code, stdout, stderr } = await xrouter(folder, ["plugins"], {
      XROUTER_PLUGINS_DIR: "broken",
      XROUTER_PROVIDERS_DIR: "absent",
      XROUTER_CONFIG: "xrouter.json",
      API_RATE_LIMIT: "-1",
    });
    assertEquals([code, stdout], [1, ""]);
    for (
      const problem of [
        '05_early.ts: plugin "early" needs state.caller, but "auth", which provides it, runs later',
        '11_owner.ts: plugin "o" provides state.caller, and so does "auth" in ',
        '90_typo.ts: "setup": ',
        "91_syntax.ts: cannot be loaded: ",
        "92_empty.ts: has no default export",
        "unnumbered.ts: has no number",
        'unnumbered.ts: plugin "auth" is already defined by ',
        'XROUTER_PROVIDERS_DIR: "absent" cannot be read as a folder',
        "API_RATE_LIMIT: must be at least 1",
        'plugins["nobody"]: there is no plugin "nobody"',
        'providers["openai"].apiKey: has the wrong form',
      ]
    ) assertStringIncludes(stderr, problem);
    assert(!/^ +at .*\/core\//m.test(stderr), "a stack trace is shown");
  }));

Deno.test("a broken configuration file is not quoted", () =>
  inFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/xrouter.json`, `{"apiKey": CANARY}`);
    const { code, stderr } = await xrouter(folder, ["plugins"], { XROUTER_CONFIG: "xrouter.json" });
    assertEquals(code, 1);
    const problem = "xrouter.json:1:12: is not valid JSON: a symbol that does not belong here";
    assertEquals(stderr, `XRouter cannot start:\n  ${problem}\n`);
  }));
