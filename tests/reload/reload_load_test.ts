import { assertEquals } from "@std/assert";
import { ask } from "../support/router.ts";
import { delta, ending, startUpstream, streamed, wholeAnswer } from "../support/upstream.ts";
import { providerText, startReloading } from "./reloading.ts";

const changes = 20;
const clients = 8;

Deno.test("reload under load loses no request and leaves no plugin behind", async () => {
  const answer = ({ body }: { body: { stream?: boolean } }) =>
    body.stream ? streamed(delta("a"), delta("b"), ...ending()) : wholeAnswer("ab");
  await using vendor = startUpstream(answer);
  await using running = await startReloading({
    "providers/vendor.ts": providerText("vendor", vendor.url),
    "xrouter.json": JSON.stringify({ plugins: { "rate-limit": { perMinute: 1e6 } } }),
  });
  const { router, events } = running;
  const plugin = (i: number) => running.plugin(`${i}`);
  await running.write({ "plugins/90_probe.ts": plugin(0) });
  let stop = false;
  let asked = 0;
  const client = async (stream: boolean) => {
    while (!stop) {
      asked++;
      const response = await router.chat(ask("vendor/m", "hi", { stream }));
      const text = await response.text();
      assertEquals(response.status, 200, text);
      if (stream) assertEquals(text.endsWith("data: [DONE]\n\n"), true, text);
      // What asks no provider goes through the other surface.
      assertEquals((await (await router.get("/ready")).json()).status, "ready");
    }
  };
  const running_clients = Array.from({ length: clients }, (_, i) => client(i % 2 === 0));
  for (let i = 1; i <= changes; i++) {
    await running.write({
      "plugins/90_probe.ts": plugin(i),
      ...(i % 2 === 0 && {
        "providers/vendor.ts": providerText("vendor", vendor.url, `models: { "m-${i}": {} }`),
      }),
    });
  }
  stop = true;
  await Promise.all(running_clients);
  const rows = await router.usage();
  assertEquals([rows.length, vendor.seen.length], [asked, asked]);
  assertEquals(rows.filter(({ state }) => state !== "completed"), []);
  const count = (word: string) => events.filter((each) => each.startsWith(word)).length;
  assertEquals(count("finish"), asked);
  for (let i = 0; i <= changes; i++) {
    const own = events.filter((each) => each.endsWith(` ${i}`) && !/^(chunk|finish)/.test(each));
    assertEquals(own, [`setup ${i}`, `dispose ${i}`]);
    // Nothing of an exchange comes after its plugin was closed.
    assertEquals(events.findLast((each) => each.endsWith(` ${i}`)), `dispose ${i}`);
  }
});
