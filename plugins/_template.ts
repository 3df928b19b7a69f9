/**
 * A plugin that does nothing, with every hook. Copy it to `NN_name.ts` and keep what you need.
 *
 * @module
 */
import { definePlugin, setting } from "xrouter/plugin";
import { z } from "zod";

export default definePlugin({
  /** Unique; settings and log lines use it. */
  name: "template",
  /** State that an earlier plugin provides; here it makes `x.state.caller` certain. */
  requires: ["caller"],
  /** What a crash of a hook means: "reject" fails the request, "skip" goes on. */
  onError: "skip",
  /** Settings: the variable, its type with a default, and a sentence for people. */
  config: z.strictObject({
    greeting: setting("TEMPLATE_GREETING", z.string().default("hello"), "What is logged at start"),
  }),
  /** Once at start: open what you need and return the hooks. */
  setup(config, host) {
    host.log.info(config.greeting);
    return {
      /** In order: return a whole answer to answer now, throw a RouterError to refuse. */
      async onRequest(_x) {},
      /** The first plugin that returns a route decides who is asked. */
      onRoute(_x) {},
      /** Before each try: edit `attempt.body` and `attempt.headers`. */
      onAttempt(_x, _attempt) {},
      /** For each chunk, without waiting: read it, `chunk.replace(…)` it, or return false to withhold it. */
      onChunk(_x, _chunk) {},
      /** Exactly once, whatever happened: record. `x.state` may be empty. */
      async onFinish(_x, _outcome) {},
      /** What a try would cost at most, for those who ask where a request would go. */
      estimate(_x, _attempt) {},
      /** Once at start: add routes of your own. */
      routes(_app) {},
      /** At GET /ready: throw if you cannot work. */
      ready() {},
      /** At the end, in reverse order: close what you opened. */
      async dispose() {},
    };
  },
});
