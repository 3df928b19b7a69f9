/** Any history, however broken, becomes one that GigaChat takes; few are refused, and rightly. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import { type ChatBody, parseChatBody } from "../../core/chat.ts";
import type { Call } from "../../core/provider.ts";
import { encode } from "../../providers/gigachat/encode.ts";
import { gigachatSettings } from "../../providers/gigachat/settings.ts";
import { encodeV2 } from "../../providers/gigachat/v2/encode.ts";
import { anyHistory } from "../support/any_history.ts";
import { callOf } from "../support/call.ts";
import { checkChat } from "../support/fake_gigachat_rules.ts";
import { differences } from "../support/fake_gigachat_schema.ts";
import { checkChatV2 } from "../support/fake_gigachat_v2_rules.ts";
import { assertRightRefusal } from "../support/history_refusals.ts";

/** `RUNS` and `SEED` in the environment say how many histories, and which. */
const numRuns = Number(Deno.env.get("RUNS") ?? 2_000);

const tool = (name: string) => ({ type: "function", function: { name } });
const toolLists = fc.constantFrom(
  undefined,
  [tool("w")],
  [tool("a_b"), tool("a/b"), tool("unnamed_function")],
);

type Encode = (body: ChatBody, call: Call) => unknown;

/** What a history becomes, and the fields that are named as changed; nothing for a right refusal. */
async function encoded(body: unknown, encode: Encode, v2ToolRole = "auto") {
  const changed = new Set<string>();
  const call: Call = {
    ...callOf({ settings: gigachatSettings.parse({ v2ToolRole }) }),
    changed: (field) => void changed.add(field),
  };
  try {
    const parsed = parseChatBody(new TextEncoder().encode(JSON.stringify(body)));
    const before = structuredClone(parsed);
    const wire = JSON.stringify(await encode(parsed, call));
    assertEquals(parsed, before, "the client's request was written to");
    return { wire, changed, parsed };
  } catch (error) {
    assertRightRefusal(error, body);
    return undefined;
  }
}

/** Nothing that was said or asked is lost without being named. */
function assertWhole({ messages }: ChatBody, wire: string, changed: ReadonlySet<string>): void {
  const words = (value: unknown) => (JSON.stringify(value) ?? "").match(/word\d+/g) ?? [];
  for (
    const [at, { role, content, tool_calls: calls, function_call: older }] of messages.entries()
  ) {
    for (const word of words(content)) assertStringIncludes(wire, word);
    const asked = calls?.length
      ? calls.map((each, number) => [`tool_calls[${number}]`, each] as const)
      : older
      ? [["function_call", older] as const]
      : [];
    for (const [field, each] of asked) {
      const path = `messages[${at}].${field}`;
      // The last calls are left out where nobody has run them; nobody but the assistant calls.
      if (changed.has(`messages[${at}]`) || role !== "assistant" && changed.has(path)) continue;
      const { function: usual, custom, name, arguments: given } = each as Record<string, unknown>;
      const said = field === "function_call" ? each : usual || custom || { name, arguments: given };
      for (const word of words(said)) assertStringIncludes(wire, word);
      const { name: called } = Object(said) as { name?: unknown };
      if (typeof called === "string" && called !== "") continue;
      const place = field === "function_call" ? path : `${path}.${usual ? "function" : "custom"}`;
      const places = [`${place}.name`, place, path, `${path}.function.name`];
      assert(places.some((each) => changed.has(each)), `${place} is nameless, and nobody says so`);
    }
  }
}

/** Tries histories out. */
async function tryHistories(
  check: (messages: unknown, tools: unknown) => Promise<boolean>,
): Promise<void> {
  const seed = Number(Deno.env.get("SEED") ?? crypto.getRandomValues(new Int32Array(1))[0]);
  console.log(`seed ${seed}`);
  let taken = 0;
  await fc.assert(
    fc.asyncProperty(anyHistory, toolLists, async (messages, tools) => {
      if (await check(messages, tools)) taken++;
    }),
    { seed, numRuns },
  );
  assert(taken > numRuns / 2, `${taken} of ${numRuns} were taken`);
}

Deno.test("gigachat: any history becomes one that v1 takes, and loses nothing unnamed", () =>
  tryHistories(async (messages, tools) => {
    const sent = await encoded({ model: "GigaChat-2", messages, tools }, encode);
    if (sent === undefined) return false;
    const chat = JSON.parse(sent.wire);
    assertEquals(checkChat(chat), undefined, sent.wire);
    assertEquals(differences("Chat", chat), [], sent.wire);
    assertWhole(sent.parsed, sent.wire, sent.changed);
    return true;
  }));

for (const toolRole of ["tool", "function"]) {
  Deno.test(`gigachat: any history becomes one that v2 takes, with results as "${toolRole}"`, () =>
    tryHistories(async (messages, tools) => {
      const body = { model: "GigaChat-2-Max", messages, tools };
      const sent = await encoded(body, encodeV2 as Encode, toolRole);
      if (sent === undefined) return false;
      assertEquals(checkChatV2(JSON.parse(sent.wire), toolRole), undefined, sent.wire);
      assertWhole(sent.parsed, sent.wire, sent.changed);
      return true;
    }));
}
