import { fileURLToPath } from "node:url";
import { assertEquals } from "@std/assert";
import closures from "./support/closures_lint.ts";

const root = new URL("../", import.meta.url);

function reports(path: string, source: string): number {
  return Deno.lint.runPlugin(closures, fileURLToPath(new URL(path, root)), source).length;
}

const kept = [
  "x.onGone = () => 1;",
  "this.onGone ??= () => 1;",
  "class A { #f; set() { this.#f = function () {}; } }",
  "list[0] = async () => {};",
  "x[name] = class {};",
  "x.onGone = (() => 1) as Leave;",
  "x.onGone = ((() => 1) satisfies Leave)!;",
];

const free = [
  "const leave = () => 1; x.onGone = leave;",
  "let f; f = () => 1;",
  "const x = { onGone: () => 1 };",
  "class A { f = () => 1; }",
  "x.onGone = busy ? () => 1 : undefined;",
  "x.onGone = later(() => 1);",
];

Deno.test("lint: a function gets a name before it is put into a property", () => {
  for (const source of kept) {
    for (const path of ["core/a.ts", "plugins/a/b.ts", "providers/a.ts"]) {
      assertEquals([source, reports(path, source)], [source, 1]);
    }
  }
  for (const source of free) assertEquals([source, reports("core/a.ts", source)], [source, 0]);
  for (const path of ["tests/a.ts", "core/a_test.ts", "main.ts", "../elsewhere/core/a.ts"]) {
    assertEquals([path, reports(path, kept[0]!)], [path, 0]);
  }
});
