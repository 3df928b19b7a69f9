import { assertEquals } from "@std/assert";
import { dropIn } from "../support/drop_in.ts";
import { LeavingClient } from "../support/leaving_client.ts";
import { ask, startRouter } from "../support/router.ts";
import { startUpstream, wholeAnswer } from "../support/upstream.ts";

/** A plugin before the ledger's that takes its time. */
const slow = `
import { definePlugin } from "xrouter/plugin";
export default definePlugin({
  name: "slow",
  setup: () => ({
    onAttempt: () => new Promise((resolve) => setTimeout(resolve, 150)),
  }),
});
`;

Deno.test("nothing is held for a try that is over before the ledger is asked", async () => {
  await using dropped = await dropIn({ "48_slow.ts": slow });
  await using vendor = startUpstream(() => wholeAnswer());
  await using router = await startRouter({
    ...vendor.env,
    XROUTER_PLUGINS_DIR: dropped.path,
    XROUTER_LAST_MS: "50",
    XROUTER_WHOLE_MS: "50",
    XROUTER_RETRIES: "0",
  });
  const late = await router.chat(ask("openai/m"));
  assertEquals(late.status, 504);
  await late.body!.cancel();
  const client = new LeavingClient((init) =>
    router.chat(ask("openai/m", "hi", { stream: true }), init)
  );
  client.leave();
  // Both plugins' timers have passed by then.
  await new Promise((resolve) => setTimeout(resolve, 400));
  const { rows } = await router.program.database.execute("SELECT * FROM holds");
  assertEquals([rows, vendor.seen], [[], []]);
});
