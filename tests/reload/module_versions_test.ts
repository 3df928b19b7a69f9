import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { loadModules } from "../../core/load.ts";
import { dropIn } from "../support/drop_in.ts";

/** What the files of a folder export now; a word for what cannot be loaded. */
async function load(folder: string): Promise<Map<string, unknown>> {
  const { modules, problems } = await loadModules([folder]);
  return new Map([
    ...modules.map(({ file, value }) => [file, value] as const),
    ...problems.map(({ at }) => [at.slice(folder.length + 1), "broken"] as const),
  ]);
}

Deno.test("loadModules loads anew what changed and what imports it, and nothing else", async () => {
  await using folder = await dropIn({
    "a.ts": 'import { word } from "./_shared.ts"; export default { word };',
    "b/mod.ts": 'import * as middle from "./middle.ts"; export default { word: middle.word };',
    "b/middle.ts": 'export { word } from "../_shared.ts";',
    "c.ts": 'import data from "./_data.json" with { type: "json" }; export default data;',
    "d.ts": 'export default { late: () => import("./_late.ts") };',
    "_late.ts": 'export const word = "late";',
    "_shared.ts": 'export const word: string = "one";',
    "_data.json": '{"word":"one"}',
  });
  const write = (name: string, text: string) => Deno.writeTextFile(`${folder.path}/${name}`, text);
  const first = await load(folder.path);
  await (first.get("d.ts") as { late(): Promise<unknown> }).late();
  const again = await load(folder.path);
  for (const [file, value] of first) assertStrictEquals(again.get(file), value);

  await write("_shared.ts", 'export const word: string = "two";');
  await write("a.ts", 'import { word } from "./_shared.ts"; export default { word, more: 1 };');
  const second = await load(folder.path);
  assertEquals(second.get("a.ts"), { word: "two", more: 1 });
  assertEquals(second.get("b/mod.ts"), { word: "two" });
  for (const file of ["c.ts", "d.ts"]) assertStrictEquals(second.get(file), first.get(file));

  await write("_data.json", '{"word":"two"}');
  const third = await load(folder.path);
  assertEquals(third.get("c.ts"), { word: "two" });
  for (const file of ["a.ts", "b/mod.ts"]) assertStrictEquals(third.get(file), second.get(file));
});

Deno.test("loadModules tries again what could not be loaded, and leaves the rest as it was", async () => {
  await using folder = await dropIn({
    "a.ts": 'import { word } from "./_shared.ts"; export default { word };',
    "b.ts": 'import { word } from "./_shared.ts"; export default { word };',
    "_shared.ts": 'export const word = "one";',
  });
  const write = (name: string, text: string) => Deno.writeTextFile(`${folder.path}/${name}`, text);
  const first = await load(folder.path);
  await write("a.ts", 'import "./_missing.ts"; import "./_throws.ts"; export default {};');
  await write("_throws.ts", 'if (!globalThis["isFine"]) throw new Error("not yet");');
  const second = await load(folder.path);
  assertEquals(second.get("a.ts"), "broken");
  assertStrictEquals(second.get("b.ts"), first.get("b.ts"));
  await write("_missing.ts", "");
  assertEquals((await load(folder.path)).get("a.ts"), "broken");
  // Nothing but the world has changed.
  Reflect.set(globalThis, "isFine", true);
  const third = await load(folder.path);
  assert(Reflect.deleteProperty(globalThis, "isFine"));
  assertEquals(third.get("a.ts"), {});
  assertStrictEquals(third.get("b.ts"), first.get("b.ts"));
});
