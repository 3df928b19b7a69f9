import { assertEquals } from "@std/assert";
import { definePlugin, type Hooks, type State } from "xrouter/plugin";
import { defineProvider, secret } from "xrouter/provider";
import { z } from "zod";

/** Whether two types are the same. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true
  : false;

/** Compiles only for `true`. */
function holds<_T extends true>(): void {}

Deno.test("definePlugin makes required state certain, and only that", () => {
  const needs = definePlugin({
    name: "needs",
    requires: ["caller"],
    setup: () => ({
      onRequest({ state }) {
        holds<Same<typeof state.caller, State["caller"]>>();
        holds<Same<typeof state.inputTokens, number | undefined>>();
        return void state.caller.id;
      },
      onRoute: ({ state }) => void state.caller.id,
      onAttempt: ({ state }) => void state.caller.id,
      onChunk: ({ state }) => void state.caller.id,
      onFinish({ state }) {
        // After a refusal nothing is certain, whatever the plugin requires.
        holds<Same<typeof state.caller, State["caller"] | undefined>>();
      },
    }),
  });
  assertEquals(needs.requires, ["caller"]);
});

Deno.test("definePlugin lets no plugin read state that it does not require", () => {
  const careless = definePlugin({
    name: "careless",
    setup: () => ({
      // @ts-expect-error: without `requires` the caller may be missing.
      onRequest: ({ state }) => void state.caller.id,
      // @ts-expect-error: and so it may in each of the other hooks.
      onChunk: ({ state }) => void state.caller.id,
      onFinish: ({ state }) => void state.caller?.id,
    }),
  });
  assertEquals(careless.requires, undefined);
});

Deno.test("definePlugin knows the words that plugins share", () => {
  // @ts-expect-error: nobody provides a calller.
  definePlugin({ name: "typo", requires: ["calller"], setup: () => ({}) });
  // @ts-expect-error: nor may anybody.
  definePlugin({ name: "typo", provides: ["calller"], setup: () => ({}) });
  // @ts-expect-error: what only some requests have cannot be required.
  definePlugin({ name: "typo", requires: ["exactInput"], setup: () => ({}) });
  // @ts-expect-error: a crash is rejected or skipped.
  definePlugin({ name: "typo", onError: "ignore", setup: () => ({}) });
});

Deno.test("Hooks lets onChunk neither wait nor return what means nothing", () => {
  const hooks: Hooks = {
    // @ts-expect-error: a chunk is not waited for.
    async onChunk() {},
  };
  const answer: Hooks = {
    // @ts-expect-error: only `false` withholds a chunk.
    onChunk: () => true,
  };
  const fine: Hooks[] = [{ onChunk: () => false }, { onChunk: () => {} }, {
    onChunk: () => undefined,
  }];
  assertEquals([hooks, answer, ...fine].length, 5);
});

Deno.test("Hooks has no hook that does not exist", () => {
  // @ts-expect-error: the hook is called onRequest.
  const hooks: Hooks = { onRequests: () => {} };
  assertEquals(Object.keys(hooks), ["onRequests"]);
});

Deno.test("definePlugin hands a plugin its settings as its schema types them", () => {
  const typed = definePlugin({
    name: "typed",
    config: z.strictObject({
      perMinute: z.coerce.number().default(5),
      word: z.string().optional(),
    }),
    setup(config) {
      holds<Same<typeof config, { perMinute: number; word?: string | undefined }>>();
      return {};
    },
  });
  assertEquals(typed.name, "typed");
});

Deno.test("an exchange is read, and only its answer's headers and its body are written", () => {
  const plugin = definePlugin({
    name: "writer",
    setup: () => ({
      onRequest(x) {
        x.replyHeaders["x-own"] = "1";
        x.body.temperature = 0;
        // @ts-expect-error: the exchange's name is given.
        x.id = "mine";
        // @ts-expect-error: attempts are the kernel's.
        x.attempts.push({});
      },
      onFinish(_x, outcome) {
        // @ts-expect-error: what happened has happened.
        outcome.state = "completed";
      },
    }),
  });
  assertEquals(plugin.name, "writer");
});

Deno.test("defineProvider asks for a name, and types the settings", () => {
  // @ts-expect-error: a name is needed.
  defineProvider({ baseUrl: "https://x.invalid" });
  // @ts-expect-error: a client that leaves is drained or cancelled.
  defineProvider({ name: "odd", baseUrl: "https://x.invalid", onAbort: "ignore" });
  const typed = defineProvider({
    name: "typed",
    baseUrl: "https://x.invalid",
    settings: z.strictObject({ region: z.string() }),
    authorize({ settings }) {
      holds<Same<typeof settings, { region: string }>>();
      return { "x-region": settings.region };
    },
  });
  assertEquals(typed.name, "typed");
  const listed = defineProvider({
    name: "listed",
    settings: { region: z.string(), key: secret("LISTED_KEY", "The key") },
    authorize({ settings }) {
      holds<Same<typeof settings, { region: string; key?: string | undefined }>>();
      return { "x-region": settings.region };
    },
  });
  assertEquals(listed.settings!.safeParse({ region: "ru", colour: "red" }).success, false);
});
