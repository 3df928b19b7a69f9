import { assertEquals } from "@std/assert";
import type { Attempt } from "../../core/plugin.ts";
import { inParts, inProcess, startKernel } from "../support/kernel.ts";
import { ask } from "../support/router.ts";
import { delta, event, streamed, wholeAnswer } from "../support/upstream.ts";

const usage = { prompt_tokens: 100, completion_tokens: 50, total_tokens: 150 };
const done = "data: [DONE]\n\n";
const words = delta("One two three four");
const fault = { error: { message: "overheated" } };

/** What the try used that a vendor answered so: input where it was reported, output, who pays. */
async function usedBy(response: () => Response, stream: boolean): Promise<readonly unknown[]> {
  let first: Attempt | undefined;
  await using kernel = startKernel({
    providers: [
      inProcess(response, { name: "first" }),
      inProcess(() => wholeAnswer("fine"), { name: "second" }),
    ],
    plugins: [{ hooks: { onFinish: ({ attempts }) => void (first = attempts[0]) } }],
  });
  const answer = await kernel.chat(ask("first/m", "hi", { stream, models: ["second/m"] }));
  assertEquals([answer.status, (await answer.text()).includes("fine")], [200, true]);
  await kernel.ended();
  const { input, output, estimated } = first!.usage!;
  return [estimated ? "counted" : input, output, first!.unanswered];
}

for (
  const [what, events, used] of [
    ["words", [words, event(fault)], ["counted", 4, true]],
    ["a report", [delta("One", { usage }), event(fault)], [100, 50, undefined]],
    ["a report in the error itself", [words, event({ ...fault, usage })], [100, 50, undefined]],
    ["a report and no words", [event({ choices: [], usage }), event(fault)], [100, 50, undefined]],
    ["nothing", [event({ choices: [] }), event(fault)], ["counted", 0, true]],
  ] as const
) {
  Deno.test(`of an answer that fails after ${what}, it does not matter how it was cut`, async () => {
    assertEquals(await usedBy(() => streamed(...events), true), used);
    assertEquals(await usedBy(() => streamed(...events), false), used);
    assertEquals(await usedBy(() => inParts(events), false), used);
  });
}

Deno.test("a report counts of a gathered answer that is none", async () => {
  const events = [event({ choices: [], usage }), done];
  assertEquals(await usedBy(() => inParts(events), false), [100, 50, undefined]);
});
