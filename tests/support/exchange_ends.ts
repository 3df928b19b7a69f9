/**
 * A program of its own that tells how exchanges end: answers whole, streamed and from a plugin, then
 * two whose clients leave, of which one is cancelled and one is read to its end. It exits when
 * nothing is left to do: a timer that were not cleared would keep it for an hour.
 *
 * @module
 */
import type { Hooks } from "../../core/plugin.ts";
import { inParts, inProcess, startKernel } from "./kernel.ts";
import { LeavingClient } from "./leaving_client.ts";
import { ask } from "./router.ts";
import { delta, ending, Script, startUpstream, wholeAnswer } from "./upstream.ts";

const hour = 3_600_000;
const aborted: string[] = [];
const scripts: Record<string, Script> = { cancelled: new Script(), drained: new Script() };
await using upstream = startUpstream(({ body }) => scripts[body.model]!.response());
const hooks: Hooks = {
  onRequest(x) {
    x.signal.addEventListener("abort", () => aborted.push(x.body.model));
    return x.body.model === "cached"
      ? { choices: [{ index: 0, message: { content: "ready" } }] }
      : undefined;
  },
};
const vendor = inProcess(async (request) => {
  const { stream } = await request.json();
  return stream ? inParts([delta("a"), ...ending()]) : wholeAnswer();
});
await using kernel = startKernel({
  providers: [
    vendor,
    { name: "first", baseUrl: upstream.url, onAbort: "cancel" },
    { name: "second", baseUrl: upstream.url, onAbort: "drain" },
  ],
  plugins: [{ hooks }],
  drainMs: hour,
  keepAliveMs: hour,
  route: { time: hour, timeouts: { firstByte: hour, idle: hour, total: hour } },
});
for (const model of ["vendor/whole", "vendor/stream", "cached"]) {
  await (await kernel.chat(ask(model, "hi", { stream: model === "vendor/stream" }))).text();
}
await kernel.ended(3);
for (const [i, model] of ["first/cancelled", "second/drained"].entries()) {
  const script = Object.values(scripts)[i]!;
  await script.send(delta("a"));
  const client = new LeavingClient((init) => kernel.chat(ask(model, "hi", { stream: true }), init));
  await client.readUntil('"a"');
  client.leave();
  if (i === 0) await upstream.seen[0]!.closed;
  else {
    while (!aborted.includes(model)) await new Promise((resolve) => setTimeout(resolve, 1));
    await script.send(...ending());
    await script.close();
  }
  await kernel.ended(4 + i);
}
console.log(JSON.stringify({ states: kernel.outcomes.map(({ state }) => state), aborted }));
