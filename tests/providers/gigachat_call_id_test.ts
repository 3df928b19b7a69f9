import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { mintCallId, stateOf } from "../../providers/gigachat/call_id.ts";

Deno.test("a tool call's id carries any state id of GigaChat's, and gives it back unchanged", () => {
  const lower = "77d3fb14-457a-46ba-937e-8d856156d003";
  for (
    const state of [
      lower,
      lower.toUpperCase(),
      `{${lower}}`,
      lower.replaceAll("-", ""),
      "7",
      " a/b=_-",
      "\ufeffсостояние 🥐",
      "s".repeat(256),
    ]
  ) {
    const id = mintCallId(state);
    assertMatch(id, /^call_[\w-]+$/);
    assertEquals(stateOf(id), state);
    assertNotEquals(mintCallId(state), id);
  }
  // OpenAI's own limit, for histories that go on there.
  assert(mintCallId(lower).length <= 40);
});

Deno.test("a tool call's id carries nothing that is no state id, and others' ids have none", () => {
  for (const state of [undefined, null, "", 7, {}, "s".repeat(257)]) {
    const id = mintCallId(state);
    assertMatch(id, /^call_[\da-f]{24}$/);
    assertEquals(stateOf(id), undefined);
  }
  for (const id of ["", "call_gs", "call_gsAAAA00000000", "call_gtA00000000", "call_gt00000000"]) {
    assertEquals(stateOf(id), undefined, id);
  }
});
