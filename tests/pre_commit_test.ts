import { assertEquals, assertMatch } from "@std/assert";
import { dirname } from "node:path";
import { dropIn } from "./support/drop_in.ts";

const root = new URL("..", import.meta.url).pathname;

/** Runs the hook in a folder that has the project's gates, and one file. */
async function commit(code: string): Promise<{ code: number; said: string }> {
  const lints = ["tests/support/layers_lint.ts", "tests/support/closures_lint.ts"];
  const gates = ["deno.json", ...lints, ".githooks/pre-commit"];
  const copies = gates.map(async (name) => [name, await Deno.readTextFile(`${root}${name}`)]);
  await using folder = await dropIn({
    ...Object.fromEntries(await Promise.all(copies)),
    "main.ts": code,
  });
  const { code: exit, stdout, stderr } = await new Deno.Command("sh", {
    args: [".githooks/pre-commit"],
    cwd: folder.path,
    env: { NO_COLOR: "1", PATH: `${dirname(Deno.execPath())}:${Deno.env.get("PATH")}` },
  }).output();
  const decoder = new TextDecoder();
  return { code: exit, said: decoder.decode(stdout) + decoder.decode(stderr) };
}

Deno.test("the pre-commit hook refuses what is not formatted, linted or typed, and takes the rest", async () => {
  const refused: [code: string, said: RegExp][] = [
    ["export const   a = 1;\n", /not formatted/],
    ["let a = 1;\nexport default a;\n", /prefer-const/],
    ['export const a: number = "1";\n', /TS2322/],
  ];
  for (const [code, said] of refused) {
    const ended = await commit(code);
    assertEquals(ended.code, 1, ended.said);
    assertMatch(ended.said, said);
  }
  const taken = await commit("export const a = 1;\n");
  assertEquals(taken.code, 0, taken.said);
});
