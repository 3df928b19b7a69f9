import { assertEquals } from "@std/assert";
import { readWholeStream } from "./support/event_stream.ts";
import { ask, startRouter } from "./support/router.ts";

Deno.test("300 whole answers and 200 streams at a time all arrive complete", async () => {
  await using router = await startRouter({ API_RATE_LIMIT: "1000" });
  const text = "one two three four five six seven";
  const wholes = await Promise.all(Array.from({ length: 300 }, async (_, i) => {
    const response = await router.chat(ask("echo", `${text} ${i}`));
    return (await response.json()).choices[0].message.content;
  }));
  assertEquals(wholes, Array.from({ length: 300 }, (_, i) => `${text} ${i}`));
  const streams = await Promise.all(Array.from({ length: 200 }, async (_, i) => {
    const { text: said, done } = await readWholeStream(
      await router.chat(ask("echo", `${text} ${i}`, { stream: true })),
    );
    return done ? said : "unfinished";
  }));
  assertEquals(streams, Array.from({ length: 200 }, (_, i) => `${text} ${i}`));
  const rows = await router.usage();
  assertEquals(rows.length, 500);
  assertEquals(rows.filter(({ state }) => state !== "completed"), []);
});
