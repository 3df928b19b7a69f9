import { assertEquals, assertMatch } from "@std/assert";
import { loadModules } from "../../core/load.ts";
import { dropIn } from "../support/drop_in.ts";

const named = (name: string) => `export default ${JSON.stringify(name)};`;

Deno.test("loadModules takes modules and folders, by number and then by name", async () => {
  await using own = await dropIn({
    "100_last.ts": named("last"),
    "20_second.js": named("second"),
    "9_first.mjs": named("first"),
    "30_folder/mod.ts": named("folder"),
    "30_folder/part.ts": "throw new Error('a part is imported by its folder alone')",
  });
  await using outside = await dropIn({
    "20_outside.ts": named("outside"),
    "plain.ts": named("plain"),
    "alone.ts": named("alone"),
  });
  const { modules, problems } = await loadModules([own.path, outside.path]);
  assertEquals(problems, []);
  assertEquals(modules.filter(({ file }) => /^\d/.test(file)), [
    { file: "9_first.mjs", path: `${own.path}/9_first.mjs`, value: "first" },
    { file: "20_outside.ts", path: `${outside.path}/20_outside.ts`, value: "outside" },
    { file: "20_second.js", path: `${own.path}/20_second.js`, value: "second" },
    { file: "30_folder/mod.ts", path: `${own.path}/30_folder/mod.ts`, value: "folder" },
    { file: "100_last.ts", path: `${own.path}/100_last.ts`, value: "last" },
  ]);
  const others = modules.filter(({ file }) => !/^\d/.test(file));
  assertEquals(others.map(({ value }) => value), ["alone", "plain"]);
});

Deno.test("loadModules leaves alone what is no module of its own", async () => {
  const trap = "throw new Error('loaded')";
  await using folder = await dropIn({
    "_template.ts": trap,
    "_parts/mod.ts": trap,
    ".hidden.ts": trap,
    "10_auth_test.ts": trap,
    "10_auth_test.mts": trap,
    "types.d.ts": trap,
    "types.d.mts": trap,
    "README.md": trap,
    "data.json": trap,
    "_empty/part.ts": trap,
    "data/xrouter.db": trap,
    "tests/auth_test.ts": trap,
    "lost+found/x.ts": trap,
    "node_modules/package/index.js": trap,
    "10_auth.ts.bak": trap,
  });
  assertEquals(await loadModules([folder.path]), { modules: [], problems: [] });
});

Deno.test("loadModules does not pass over what somebody may have meant as a module", async () => {
  await using folder = await dropIn({
    "10_a.mts": "export default 1;",
    "20_b.tsx": "export default 1;",
    "25_capitals.TS": "export default 1;",
    "30_folder/index.ts": "export default 1;",
    "40_folder/src/mod.ts": "export default 1;",
  });
  const { modules, problems } = await loadModules([folder.path]);
  assertEquals(modules, []);
  const told = problems.map(({ at, message }) => `${at.replace(folder.path, "")} ${message}`);
  const rename = "is not loaded: a module ends in .ts, .js or .mjs. Rename it";
  assertEquals(told.sort(), [
    `/10_a.mts ${rename}`,
    `/20_b.tsx ${rename}`,
    `/25_capitals.TS ${rename}`,
    "/30_folder has no mod.ts. Add one, or begin its name with _ to have it left alone",
    "/40_folder has no mod.ts. Add one, or begin its name with _ to have it left alone",
  ]);
});

Deno.test("loadModules takes links to files and folders for what they lead to", async () => {
  await using elsewhere = await dropIn({ "a.ts": named("a"), "b/mod.ts": named("b") });
  await using folder = await dropIn({ "c.ts": named("c") });
  await Deno.symlink(`${elsewhere.path}/a.ts`, `${folder.path}/10_a.ts`);
  await Deno.symlink(`${elsewhere.path}/b`, `${folder.path}/20_b`);
  await Deno.symlink(`${elsewhere.path}/nothing`, `${folder.path}/nothing`);
  const { modules, problems } = await loadModules([folder.path]);
  assertEquals(problems, []);
  assertEquals(modules.map(({ file, value }) => [file, value]), [
    ["10_a.ts", "a"],
    ["20_b/mod.ts", "b"],
    ["c.ts", "c"],
  ]);
});

Deno.test({
  name: "loadModules opens nothing but files: a pipe would be waited on for ever",
  // Windows has no pipes among its files.
  ignore: Deno.build.os === "windows",
  async fn() {
    await using folder = await dropIn({ "10_a.ts": named("a") });
    await Deno.symlink(`${folder.path}/nothing.ts`, `${folder.path}/20_astray.ts`);
    const pipes = [`${folder.path}/30_pipe.ts`, `${folder.path}/40_pipe.fifo`];
    await new Deno.Command("mkfifo", { args: pipes }).output();
    const { modules, problems } = await loadModules([folder.path]);
    assertEquals(modules.map(({ value }) => value), ["a"]);
    const message = "is not loaded: it is no file, and no link to one. Remove it";
    assertEquals(problems.sort((a, b) => a.at < b.at ? -1 : 1), [
      { at: `${folder.path}/20_astray.ts`, message },
      { at: `${folder.path}/30_pipe.ts`, message },
    ]);
  },
});

Deno.test("loadModules tells all that is wrong at once, each with its file", async () => {
  await using folder = await dropIn({
    "10_fine.ts": named("fine"),
    "20_crash.ts": "throw new Error('not today')",
    "21_nothing.ts": "throw undefined",
    "22_object.ts": "throw { code: 7 }",
    "23_wordless.ts": "throw new TypeError()",
    "25_exports.js": "module.exports = {};",
    "26_require.js": "const path = require('node:path'); export default path;",
    "30_grammar.ts": "export default {",
    "40_nothing.ts": "export const plugin = 1;",
    "50_import.ts": 'import "./missing.ts"; export default 1;',
  });
  const missing = `${folder.path}/nowhere`;
  const { modules, problems } = await loadModules([missing, folder.path]);
  assertEquals(modules.map(({ value }) => value), ["fine"]);
  const told = new Map(problems.map(({ at, message }) => [at.replace(folder.path, ""), message]));
  assertEquals(told.size, 10);
  assertEquals(told.get("/nowhere"), "cannot be read as a folder. Create it or correct its name");
  const threw = (file: string, reason: string, cure: string) =>
    assertEquals(told.get(file), `cannot be loaded: its import throws: ${reason}. ${cure}`);
  const mend = "Mend that, or begin its name with _ to have it left alone";
  threw("/20_crash.ts", "not today", mend);
  threw("/21_nothing.ts", "undefined", mend);
  threw("/22_object.ts", "{ code: 7 }", mend);
  threw("/23_wordless.ts", "TypeError", mend);
  const write = 'It is CommonJS: write "import" for "require", and "export default" for "exports"';
  threw("/25_exports.js", "module is not defined", write);
  threw("/26_require.js", "require is not defined", write);
  assertMatch(told.get("/30_grammar.ts")!, /^cannot be loaded: .*30_grammar\.ts/s);
  assertEquals(
    told.get("/40_nothing.ts"),
    "has no default export. Export what it defines by default",
  );
  assertMatch(told.get("/50_import.ts")!, /^cannot be loaded: .*missing\.ts/s);
});

Deno.test("loadModules takes a file for no folder", async () => {
  await using folder = await dropIn({ "file.ts": named("file") });
  const { problems } = await loadModules([`${folder.path}/file.ts`]);
  assertEquals(problems.map(({ message }) => message), [
    "cannot be read as a folder. Create it or correct its name",
  ]);
});
