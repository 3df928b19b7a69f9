import { fileURLToPath } from "node:url";
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import layers from "./support/layers_lint.ts";

const root = new URL("../", import.meta.url);

/** A folder beside the root, whose name is as long as the root's. */
const sameLength = root.pathname.split("/").at(-2)!.replace(/./g, "_");

function lint(path: string, source: string): Deno.lint.Diagnostic[] {
  return Deno.lint.runPlugin(layers, fileURLToPath(new URL(path, root)), source);
}

async function* sources(folder: URL): AsyncGenerator<URL> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) yield* sources(new URL(`${name}/`, folder));
    else if (name.endsWith(".ts")) yield new URL(name, folder);
  }
}

const allowed: [path: string, source: string][] = [
  ["core/kernel.ts", `import { readChunk } from "./chunk.ts";`],
  ["core/store/ledger.ts", `export * from "../plugin.ts";`],
  ["core/kernel.ts", `import { z } from "zod"; import "node:fs"; import "npm:hono@4";`],
  ["core/version.ts", `import config from "../deno.json" with { type: "json" };`],
  ["core/load.ts", `await import(url); await import(\`\${folder}/mod.ts\`);`],
  ["plugins/10_auth.ts", `import { definePlugin } from "xrouter/plugin"; import "zod";`],
  ["plugins/10_auth.ts", `import { Exchange } from "../core/plugin.ts";`],
  ["plugins/10_auth.ts", `import "xrouter/provider";`],
  ["plugins/80_dashboard/mod.ts", `import "./page.ts"; import("../80_dashboard/chart.ts");`],
  ["plugins/80_dashboard/parts/row.ts", `import { page } from "../page.ts";`],
  ["providers/deepseek.ts", `import { defineProvider } from "xrouter/provider";`],
  ["providers/gigachat/mod.ts", `import "./token.ts"; export * from "../../core/errors.ts";`],
  ["main.ts", `import { serve } from "./core/serve.ts"; await import(path);`],
  ["tests/kernel_test.ts", `import "../plugins/10_auth.ts"; import "../main.ts";`],
  ["plugins/10_auth_test.ts", `import "../providers/deepseek.ts"; import "@std/assert";`],
  [`../${sameLength}/plugins/own.ts`, `import "./other.ts";`],
];

const forbidden: [path: string, source: string, target: string][] = [
  ["core/kernel.ts", `import auth from "../plugins/10_auth.ts";`, "plugins/10_auth.ts"],
  ["core/kernel.ts", `import type { A } from "../providers/a.ts";`, "providers/a.ts"],
  ["core/store/ledger.ts", `export * from "../../plugins/a.ts";`, "plugins/a.ts"],
  ["core/store/ledger.ts", `export { a } from "../../main.ts";`, "main.ts"],
  ["core/store/ledger.ts", `export type { A } from "../../plugins/a.ts";`, "plugins/a.ts"],
  ["core/load.ts", `await import("../plugins/a.ts");`, "plugins/a.ts"],
  ["core/load.ts", "await import(`../plugins/a.ts`);", "plugins/a.ts"],
  ["core/load.ts", "await import(`../plugins/${name}.ts`);", "plugins/"],
  ["core/load.ts", `await import("../providers/" + name + ".ts");`, "providers/"],
  ["core/load.ts", `let a: typeof import("../plugins/a.ts");`, "plugins/a.ts"],
  ["core/load.ts", `import a = require("../plugins/a.ts");`, "plugins/a.ts"],
  ["core/load.ts", `import "${new URL("plugins/a.ts", root)}";`, "plugins/a.ts"],
  ["core/money.ts", `import "@std/assert";`, "tests/support/std_assert.ts"],
  ["plugins/40_route.ts", `import "./10_auth.ts";`, "plugins/10_auth.ts"],
  ["plugins/40_route.ts", `import "./80_dashboard/page.ts";`, "plugins/80_dashboard/page.ts"],
  ["plugins/80_dashboard/mod.ts", `import "../40_route.ts";`, "plugins/40_route.ts"],
  ["plugins/40_route.ts", `import "../providers/deepseek.ts";`, "providers/deepseek.ts"],
  ["plugins/40_route.ts", `import "../main.ts";`, "main.ts"],
  ["plugins/40_route.ts", `import "../tests/support/a.ts";`, "tests/support/a.ts"],
  ["providers/gigachat/mod.ts", `import "../deepseek.ts";`, "providers/deepseek.ts"],
  ["providers/deepseek.ts", `import "./gigachat/token.ts";`, "providers/gigachat/token.ts"],
  ["providers/gigachat/mod.ts", `import "../gigachat2/mod.ts";`, "providers/gigachat2/mod.ts"],
  ["providers/deepseek.ts", `import "../plugins/10_auth.ts";`, "plugins/10_auth.ts"],
  ["main.ts", `import "./plugins/10_auth.ts";`, "plugins/10_auth.ts"],
  ["main.ts", `await import("./providers/deepseek.ts");`, "providers/deepseek.ts"],
];

Deno.test("layers lets each layer import what lies below it", () => {
  for (const [path, source] of allowed) assertEquals(lint(path, source), [], `${path}: ${source}`);
});

Deno.test("layers refuses every import that crosses a layer", () => {
  for (const [path, source, target] of forbidden) {
    const problems = lint(path, source);
    assertEquals(problems.length, 1, `${path}: ${source}`);
    assertStringIncludes(problems[0]!.message, `"${path}" imports "${target}"`);
  }
});

Deno.test("layers names the rule and the cure", () => {
  const [problem] = lint("plugins/40_route.ts", `import "./10_auth.ts";`);
  assertEquals(problem!.id, "xrouter/layers");
  assertMatch(problem!.message, /a plugin imports core, never another plugin or a provider$/);
  assertMatch(problem!.hint!, /core\/, or hand the value over in `Exchange\.state`$/);
});

Deno.test("layers holds in the whole tree", async () => {
  const urls = [new URL("main.ts", root)];
  for (const layer of ["core/", "plugins/", "providers/"]) {
    urls.push(...await Array.fromAsync(sources(new URL(layer, root))));
  }
  const problems: string[] = [];
  for (const url of urls) {
    const found = lint(url.href.slice(root.href.length), await Deno.readTextFile(url));
    problems.push(...found.map((problem) => problem.message));
  }
  assertEquals(problems, []);
});
