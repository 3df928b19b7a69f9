// deno-lint-ignore-file camelcase -- the names of the wire
/** GigaChat's bytes as they come, cut wherever a network may cut them. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import type { ChatMessage, ChatReply } from "../../core/chat.ts";
import { type ErrorCode, RouterError } from "../../core/errors.ts";
import { Upstream } from "../../core/upstream.ts";
import { GigachatDecoder } from "../../providers/gigachat/decode.ts";
import { stateOf } from "../../providers/gigachat/call_id.ts";
import { bodyOf, readAll } from "../support/fake_gigachat_call.ts";

const fixtures = new URL("../fixtures/gigachat/", import.meta.url);
const state = "77d3fb14-457a-46ba-937e-8d856156d003";

/** What a client has of an answer, ids and time aside. */
interface Heard {
  text?: string;
  reasoning?: string;
  calls?: [name: string, given: string, state: string | undefined][];
  end?: string;
  /** Prompt, completion and cached tokens. */
  usage?: [number, number, number];
  /** Whether the vendor said `[DONE]`. */
  done?: boolean;
}

const words: Heard = {
  text: "Съешь ещё этих мягких французских булок 🥐, да выпей\nчаю.",
  end: "stop",
  usage: [19, 42, 2],
  done: true,
};
const weather = '{"city":"Москва","days":3}';
const greeting: Heard = { text: "Привет! 1 < 2", reasoning: "Надо поздороваться.", end: "stop" };
const refusal: Heard = {
  text: "Не люблю менять тему разговора, но вот сейчас тот самый случай.",
  end: "content_filter",
  usage: [12, 0, 0],
};

const streams: Record<string, Heard> = {
  words,
  crlf: words,
  ultra: words,
  no_done: { ...words, done: false },
  no_last_newline: words,
  no_usage: { text: words.text!, end: "stop", done: true },
  call: {
    calls: [["weather", weather, state]],
    end: "tool_calls",
    usage: [98, 21, 0],
    done: true,
  },
  call_after_words: {
    text: "Смотрю погоду.",
    calls: [["weather", '{"city":"Тверь"}', undefined]],
    end: "tool_calls",
    usage: [162, 27, 64],
    done: true,
  },
  progress: {
    text: 'Готово: <img src="b28fbd4e" fuse="true"/>',
    end: "stop",
    usage: [30, 12, 0],
    done: true,
  },
  blacklist: { ...refusal, done: true },
  length: { text: "Жили-были дед да", end: "length", usage: [9, 5, 0], done: true },
  thoughts: { ...greeting, usage: [9, 15, 0], done: true },
  reasoning: { ...greeting, usage: [9, 15, 0], done: true },
  // No end and no [DONE]: the relay refuses to call it finished.
  cut_in_event: { text: "Съешь ещё этих мягких французских булок 🥐,", done: false },
  cut_between_events: { text: "Съешь ещё этих мягких французских булок 🥐,", done: false },
};
const failures: Record<string, ErrorCode> = {
  error_finish: "upstream_unavailable",
  error_body: "upstream_unavailable",
  busy_body: "upstream_busy",
};

const answers: Record<string, Heard> = {
  words: { text: "Привет!", end: "stop", usage: [19, 3, 2] },
  ultra: { text: "Привет!", end: "stop", usage: [19, 3, 2] },
  call: { calls: [["weather", weather, state]], end: "tool_calls", usage: [98, 21, 0] },
  blacklist: refusal,
  much_cached: { text: "Привет!", end: "stop", usage: [38, 4, 37] },
  no_usage: { text: "Привет!", end: "stop" },
  reasoning: {
    text: "Привет!",
    reasoning: "Надо поздороваться.",
    end: "stop",
    usage: [19, 3, 2],
  },
  thoughts: {
    text: "Привет!",
    reasoning: "Надо поздороваться.",
    end: "stop",
    usage: [19, 3, 2],
  },
};

function heard(replies: readonly ChatReply[]): Heard {
  const choices = replies.flatMap(({ choices }) => choices);
  const parts = choices.map(({ delta, message }): ChatMessage => (delta ?? message)!);
  const joined = (field: string) => parts.map((part) => part[field] ?? "").join("");
  const calls = parts.flatMap((part) => part.tool_calls ?? []);
  const usages = replies.flatMap(({ usage }) => usage ?? []);
  const ends = choices.flatMap((choice) => choice.finish_reason ?? []);
  assert(usages.length <= 1 && ends.length <= 1);
  const [usage] = usages;
  if (usage !== undefined) {
    assertEquals(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
    assertEquals("precached_prompt_tokens" in usage, false);
  }
  const said = { text: joined("content"), reasoning: joined("reasoning_content") };
  return {
    ...(said.text !== "" && { text: said.text }),
    ...(said.reasoning !== "" && { reasoning: said.reasoning }),
    ...(calls.length > 0 && {
      calls: calls.map((call) => [
        call.function!.name!,
        call.function!.arguments!,
        stateOf(call.id!),
      ]),
    }),
    ...(ends[0] !== undefined && { end: ends[0] }),
    ...(usage && {
      usage: [
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.prompt_tokens_details!.cached_tokens!,
      ],
    }),
  };
}

/** Reads a stream that comes in these pieces. */
async function read(pieces: readonly Uint8Array<ArrayBuffer>[]): Promise<Heard> {
  const upstream = Upstream.stream(new Response(ReadableStream.from(pieces)), {
    decoder: new GigachatDecoder(bodyOf({})),
    signal: new AbortController().signal,
    redact: (text) => text,
  });
  const replies = await readAll(upstream);
  const [first] = replies;
  assertEquals(first!.choices[0]!.delta!.role, "assistant");
  for (const reply of replies) {
    assertEquals([reply.object, reply.id], ["chat.completion.chunk", first!.id]);
    assertMatch(reply.id!, /^chatcmpl-/);
  }
  return { ...heard(replies), done: upstream.done };
}

async function bytesOf(path: string): Promise<Uint8Array<ArrayBuffer>> {
  return await Deno.readFile(new URL(path, fixtures));
}

function* cuts(bytes: Uint8Array<ArrayBuffer>): Generator<Uint8Array<ArrayBuffer>[]> {
  for (let at = 0; at < bytes.length; at++) yield [bytes.subarray(0, at), bytes.subarray(at)];
  for (const length of [1, 2, 3, 7, 64]) {
    const count = Math.ceil(bytes.length / length);
    yield Array.from(
      { length: count },
      (_, at) => bytes.subarray(at * length, (at + 1) * length),
    );
  }
}

for (const [name, expected] of Object.entries(streams)) {
  Deno.test(`GigaChat's stream ${name}.sse is read the same wherever it is cut`, async () => {
    const bytes = await bytesOf(`streams/${name}.sse`);
    for (const pieces of cuts(bytes)) assertEquals(await read(pieces), expected);
  });
}

for (const [name, code] of Object.entries(failures)) {
  Deno.test(`GigaChat's stream ${name}.sse is an error wherever it is cut`, async () => {
    const bytes = await bytesOf(`streams/${name}.sse`);
    for (const pieces of cuts(bytes)) {
      const error = await assertRejects(() => read(pieces), RouterError);
      assertEquals(error.code, code);
    }
  });
}

for (const [name, expected] of Object.entries(answers)) {
  Deno.test(`GigaChat's answer ${name}.json is read`, async () => {
    const text = new TextDecoder().decode(await bytesOf(`answers/${name}.json`));
    const reply = new GigachatDecoder(bodyOf({})).whole(JSON.parse(text));
    assertEquals(heard([reply]), expected);
    assertEquals(reply.object, "chat.completion");
    assertEquals(reply.choices[0]!.message!.role, "assistant");
  });
}

Deno.test("every fixture of GigaChat's bytes is read by a test", async () => {
  const named = async (folder: string) => {
    const entries = await Array.fromAsync(Deno.readDir(new URL(folder, fixtures)));
    return entries.map(({ name }) => name.replace(/\.\w+$/, "")).sort();
  };
  const read = [...Object.keys(streams), ...Object.keys(failures)].sort();
  assertEquals(await named("streams"), read);
  assertEquals(await named("answers"), [...Object.keys(answers), "error"].sort());
  const broken = JSON.parse(new TextDecoder().decode(await bytesOf("answers/error.json")));
  await assertRejects(
    () => Promise.try(() => new GigachatDecoder(bodyOf({})).whole(broken)),
    RouterError,
  );
});
