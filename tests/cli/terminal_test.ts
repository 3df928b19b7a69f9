import { assertEquals } from "@std/assert";
import { formatTable, oneLine } from "../../core/cli/terminal.ts";

Deno.test("formatTable aligns what is seen, not what is stored", () => {
  const rows = [["ключ", "x"], ["🔑", "x"], ["鍵", "x"], ["e\u0301", "x"], ["", ""], ["  in", "x"]];
  assertEquals(formatTable(rows, ["A", "B"]), [
    "A     B",
    "ключ  x",
    "🔑    x",
    "鍵    x",
    "e\u0301     x",
    "-     -",
    "  in  x",
  ]);
});

Deno.test("oneLine leaves nothing that steers a terminal", () => {
  assertEquals(oneLine(" a\x1b[31m\r\nb\u202Ec\u2028d\t\x07e\x9b "), "a [31m b c d e");
});
