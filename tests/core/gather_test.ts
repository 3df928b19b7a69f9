// deno-lint-ignore-file camelcase -- the names of the wire
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { ChatReply } from "../../core/chat.ts";
import {
  inParts,
  inProcess,
  type KernelSetup,
  startKernel,
  type TestKernel,
} from "../support/kernel.ts";
import { LeavingClient } from "../support/leaving_client.ts";
import { clientOf } from "../support/openai_client.ts";
import { ask, startRouter } from "../support/router.ts";
import {
  delta,
  ending,
  event,
  Script,
  startUpstream,
  streamed,
  wholeAnswer,
} from "../support/upstream.ts";

const [stop, usage, done] = ending() as [string, string, string];

Deno.test("a vendor that streams although it was not asked to answers the openai client", async () => {
  const say = (delta: object, finish_reason: string | null = null) =>
    event({
      id: "chatcmpl-1",
      object: "chat.completion.chunk",
      created: 1,
      model: "vendor-model-0613",
      choices: [
        { index: 0, delta, finish_reason },
      ],
    });
  const call = (more: object) => say({ tool_calls: [{ index: 0, ...more }] });
  await using upstream = startUpstream(() =>
    streamed(
      say({ role: "assistant", content: "" }),
      say({ content: "Let me " }),
      ": a comment\n\n",
      say({ content: "see." }),
      call({ id: "call_1", type: "function", function: { name: "w", arguments: "" } }),
      call({ function: { arguments: '{"city":' } }),
      call({ function: { arguments: '"Rome"}' } }),
      say({}, "tool_calls"),
      usage,
      done,
    )
  );
  await using router = await startRouter(upstream.env);
  const messages = [{ role: "user" as const, content: "?" }];
  const answer = await clientOf(router).chat.completions.create({ model: "openai/m", messages });
  assertEquals(upstream.seen[0]!.headers.get("accept"), "application/json");
  assertEquals(upstream.seen[0]!.body.stream, undefined);
  assertEquals([answer.id, answer.object], ["chatcmpl-1", "chat.completion"]);
  assertEquals(answer.choices, [{
    index: 0,
    message: {
      role: "assistant",
      content: "Let me see.",
      tool_calls: [{
        id: "call_1",
        type: "function",
        function: { name: "w", arguments: '{"city":"Rome"}' },
      }],
    },
    finish_reason: "tool_calls",
  }] as never);
  assertEquals(answer.usage?.completion_tokens, 5);
  const [row, ...others] = await router.usage();
  assertEquals(others, []);
  assertEquals(
    [row!.state, row!.input_tokens, row!.output_tokens, row!.estimated, row!.model_served],
    ["completed", 10, 5, 0, "vendor-model-0613"],
  );
});

/** Two vendors; what the first one's try used, once the second one, or nobody, has answered. */
async function fallBack(
  broken: () => Response,
  setup: Partial<KernelSetup> = {},
): Promise<{ status: number; used: unknown[]; code: string | undefined; told: string }> {
  let used: unknown[] = [];
  let failure: string | undefined;
  await using kernel = startKernel({
    ...setup,
    providers: [
      inProcess(broken, { name: "first" }),
      inProcess(() => wholeAnswer("fine"), { name: "second" }),
    ],
    plugins: [{
      hooks: {
        onFinish({ attempts: [first] }) {
          const { usage, unanswered, error } = first!;
          used = [usage?.input, usage?.output, usage?.estimated, unanswered];
          failure = error?.code;
        },
      },
    }],
  });
  const response = await kernel.chat(ask("first/m", "hi", { models: ["second/m"] }));
  const json = await response.json();
  await kernel.ended();
  const told = json.choices?.[0].message.content;
  return { status: response.status, used, code: failure, told };
}

Deno.test("a gathered answer that breaks off is none: the next one is asked, and what was said is known", async () => {
  const words = [delta("One two three "), delta("four")];
  const failed = event({ error: { message: "overheated" } });
  for (const end of [[], [failed], [event({ choices: [{ finish_reason: "error" }] }), done]]) {
    const { used, ...rest } = await fallBack(() => inParts([...words, ...end]));
    assertEquals(rest, { status: 200, code: "upstream_unavailable", told: "fine" });
    const [input, output, estimated, unanswered] = used;
    assert(Number(input) > 0 && Number(output) >= 4, JSON.stringify(used));
    assertEquals([estimated, unanswered], [true, true]);
  }
  for (const nothing of [[], [done], [event({ choices: [] }), done]]) {
    const { used, ...rest } = await fallBack(() => inParts(nothing));
    assertEquals(rest, { status: 200, code: "upstream_unavailable", told: "fine" });
    assertEquals(used.slice(1), [0, true, true]);
  }
});

Deno.test("a gathered answer that takes too long is charged to nobody, and its words are known", async () => {
  const script = new Script();
  await script.send(delta("One two three"));
  const route = { timeouts: { whole: 500 } };
  const { used, ...rest } = await fallBack(() => script.response(), { route });
  assertEquals(rest, { status: 200, code: "timeout", told: "fine" });
  assertEquals(used.slice(1), [3, true, true]);
});

const endings = {
  "whose client leaves"(_kernel: TestKernel, client: LeavingClient) {
    client.leave();
    return "aborted";
  },
  async "that is stopped"({ kernel }: TestKernel, client: LeavingClient) {
    void kernel.drain(0);
    await client.readAll();
    return "failed";
  },
};

for (const [who, end] of Object.entries(endings)) {
  Deno.test(`a gathered answer ${who} is charged for what it said`, async () => {
    const script = new Script();
    await using upstream = startUpstream(() => script.response());
    const read = Promise.withResolvers<void>();
    const event = (data: string): ChatReply[] => {
      if (data.includes("four")) read.resolve();
      return [JSON.parse(data)];
    };
    const whole = (reply: ChatReply) => reply;
    const vendor = { onAbort: "cancel", decoder: () => ({ event, whole }) } as const;
    await using kernel = startKernel({
      providers: [{ name: "vendor", baseUrl: upstream.url, ...vendor }],
    });
    const client = new LeavingClient((init) => kernel.chat(ask("vendor/m"), init));
    await upstream.nextChat();
    await script.send(delta("One two three "), delta("four"));
    await read.promise;
    const state = await end(kernel, client);
    await upstream.seen[0]!.closed;
    const { usage, unanswered, ...outcome } = await kernel.ended();
    const ended = [outcome.state, usage?.output, usage?.estimated, unanswered];
    assertEquals(ended, [state, 4, true, undefined]);
  });
}

Deno.test("a gathered answer whose connection breaks is whole once it has said why it ends", async () => {
  async function* breaking(words: readonly string[]) {
    for (const each of words) yield new TextEncoder().encode(each);
    throw await Promise.resolve(new Error("broken on purpose"));
  }
  const headers = { "content-type": "text/event-stream" };
  const tell = async (...words: string[]) => {
    const { told } = await fallBack(() =>
      new Response(ReadableStream.from(breaking(words)), { headers })
    );
    return told;
  };
  assertEquals(await tell(delta("fine, too"), stop), "fine, too");
  assertEquals(await tell(delta("not fine")), "fine");
});

Deno.test("a gathered answer that has said why it ends is whole, though its stream never closes", async () => {
  const script = new Script();
  await using upstream = startUpstream(() => script.response());
  await using kernel = startKernel({ providers: [{ name: "only", baseUrl: upstream.url }] });
  await script.send(delta("fine"), stop, usage);
  const answer = await (await kernel.chat(ask("only/m"))).json();
  assertEquals(answer.choices[0].message.content, "fine");
  assertEquals(answer.usage.completion_tokens, 5);
  await upstream.seen[0]!.closed;
});

Deno.test("no more of a gathered answer is kept than of one that comes whole", async () => {
  let left = 0;
  const bytes = new TextEncoder().encode(delta("x".repeat(4 * 1024 * 1024)));
  function* endless() {
    try {
      for (;;) yield bytes;
    } finally {
      left++;
    }
  }
  const headers = { "content-type": "text/event-stream" };
  const answer = () => new Response(ReadableStream.from(endless()), { headers });
  await using kernel = startKernel({ providers: [inProcess(answer)] });
  const response = await kernel.chat(ask("vendor/m"));
  const { error } = await response.json();
  assertEquals([response.status, error.code], [502, "upstream_unavailable"]);
  assertMatch(error.message, /longer than 67108864 bytes/);
  assertEquals(left, 1);
});

Deno.test("no words of a gathered answer are lost: an event that is no JSON breaks it off", async () => {
  const broken = delta("two").replace('"two"', '"t"wo"');
  await using vendor = startUpstream(() =>
    streamed(delta("one"), broken, delta("three"), stop, done)
  );
  await using router = await startRouter({ ...vendor.env, XROUTER_RETRIES: "0" });
  const response = await router.chat(ask("openai/m", "hi"));
  const { error } = await response.json();
  assertEquals([response.status, error.code], [502, "upstream_unavailable"]);
  assertMatch(error.message, /no JSON/);
});
