/** What is said of values that a schema without words of its own refuses. */
import { assertEquals } from "@std/assert";
import { z } from "zod";
import { readValue } from "../../core/issues.ts";

Deno.test("readValue says what would be right, and never throws for any schema's sake", () => {
  const schema = z.strictObject({
    name: z.string().min(1),
    list: z.array(z.number()).max(2),
    mode: z.literal(["a", "b", 1n, undefined]),
    flags: z.record(z.enum(["on", "off"]), z.boolean()),
  });
  const value = { name: "", list: [1, 2, 3], mode: "c", flags: { on: true, off: false, up: true } };
  const { issues } = readValue(schema, value);
  assertEquals(issues.map(({ path, message }) => `${path.join(".")} ${message}`), [
    "name must have at least 1 character",
    "list must have at most 2 items",
    'mode must be "a", "b", 1 or undefined',
    'flags unknown field "up"',
  ]);
});
