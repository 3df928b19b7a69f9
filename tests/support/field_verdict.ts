/**
 * What GigaChat does with a field, as it is seen and not as anybody says it.
 *
 * @module
 */
import { assert, assertEquals, assertNotEquals, assertStringIncludes } from "@std/assert";
import type { ChatReply } from "../../core/chat.ts";
import type { FieldProbe, Fields, Saying, Seen, Way } from "./field_probe.ts";

/** What becomes of a request's field. */
export type Verdict =
  /** It reaches GigaChat. */
  | "exact"
  /** XRouter does it, or has GigaChat do it in another way. */
  | "emulated"
  /** It changes nothing. */
  | "ignored"
  /** `XROUTER_UNSUPPORTED` says whether it is refused or left out. */
  | "policy"
  /** It is refused, whatever the policy. */
  | "refused";

/** One field of a request, and how it is tried out. */
export interface RequestField {
  /** The field as OpenAI's documents name it: `messages[].name`. */
  readonly field: string;
  /** The value that is tried, where the verdict is about it alone. */
  readonly value?: string;
  /** A request with the field. */
  readonly ask: Fields | ((fileId: string) => Fields);
  /** The same request without it, where that is more than a question. */
  readonly base?: Fields;
  /** A value of the field that asks for nothing; the table says so. */
  readonly neutral?: unknown;
  /** What the model says. */
  readonly saying?: Saying;
  /** The way in which alone the field matters. */
  readonly only?: "whole" | "streamed";
  /** The field that is named by a refusal, or in `x-xrouter-changed`. */
  readonly names?: string;
  /** Checks what went out and what came back where the request is answered. */
  see?(seen: Seen): void;
  /** What a refusal says, word for word, where that is not the note. */
  readonly cure?: string;
  /**
   * What is done, for people: what `see` checks, or what a refusal says, word for word. Where GigaChat
   * is not told, there is no more to say.
   */
  readonly note?: string;
}

/** Tries a field out, whole and streamed. @returns What both showed. */
export async function verdictOf(
  entry: RequestField,
  version: Way["version"],
  probe: FieldProbe,
): Promise<Verdict> {
  const ways = [false, true].filter((streamed) =>
    entry.only === undefined || (entry.only === "streamed") === streamed
  );
  const verdicts: Verdict[] = [];
  for (const streamed of ways) verdicts.push(await seenVerdict(entry, version, streamed, probe));
  const [first, ...others] = verdicts;
  for (const each of others) assertEquals(each, first, "whole and streamed differ");
  return first!;
}

async function seenVerdict(
  { ask, base = {}, neutral, saying, field, names = field, see, note = "", cure = note }:
    RequestField,
  version: Way["version"],
  streamed: boolean,
  probe: FieldProbe,
): Promise<Verdict> {
  const send = (policy: Way["policy"], fields: RequestField["ask"]) => {
    const asked = typeof fields === "function" ? fields(probe.fileIds[policy]) : fields;
    return probe.ask(asked, saying, { version, streamed, policy });
  };
  const isNamed = (path: string | undefined) => path?.replace(/\[\d+\]/g, "[]") === names;

  if (neutral !== undefined) {
    const { status, sent, changed } = await send("refuse", { ...base, [field]: neutral });
    assertEquals([status, changed], [200, []]);
    assertEquals(sent, (await send("refuse", base)).sent, "a value that asks for nothing goes out");
  }
  const strict = await send("refuse", ask);
  if (strict.status !== 200) {
    assertEquals(strict.status, 400, strict.error?.message);
    assert(isNamed(strict.error?.param), `the refusal names ${strict.error?.param}, not ${names}`);
    assertStringIncludes(strict.error!.message!, strict.error!.param!);
    assertStringIncludes(strict.error!.message!, cure);
    assert(cure !== "", "a refusal names its cure, and so does the table");
    assertEquals(strict.sent, {}, "a refused request got to GigaChat");
    const mild = await send("warn", ask);
    if (mild.status === 400) return "refused";
    assertEquals(mild.status, 200, mild.error?.message);
    assert(mild.changed.some(isNamed), `x-xrouter-changed names ${mild.changed}, not ${names}`);
    const without = await send("warn", base);
    assertEquals(mild.sent, without.sent, "what is left out goes out");
    see?.(mild);
    return "policy";
  }
  const without = await send("refuse", base);
  assertEquals(without.status, 200, without.error?.message);
  see?.(strict);
  assert(see !== undefined || note === "", "nothing checks what the note says");
  const reaches = !same(strict.sent, without.sent) || strict.session !== without.session;
  const shows = !same(comparable(strict), comparable(without));
  if (!reaches && !shows) return "ignored";
  assert(see !== undefined, "it does something, and nothing checks what");
  return !reaches || strict.changed.some(isNamed) ? "emulated" : "exact";
}

/** What an answer says, without what differs from answer to answer. */
function comparable({ answer, events }: Seen): unknown {
  return {
    choices: withoutCallIds(answer),
    // What one cache or another held is not the field's doing.
    usage: answer.usage !== undefined,
    last: events.at(-1)?.choices.length,
  };
}

function withoutCallIds({ choices }: ChatReply): unknown {
  return choices.map(({ message, ...choice }) => ({
    ...choice,
    ...message,
    tool_calls: message?.tool_calls?.map(({ id: _, ...call }) => call),
  }));
}

function same(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

/** What an answer's field is. */
export type AnswerVerdict =
  /** GigaChat says it: the same stands there, or other words of GigaChat's make another value. */
  | "exact"
  /** XRouter says it: GigaChat has no such field. */
  | "emulated"
  /** It is not there. */
  | "absent";

/** One field of an answer, and how it is tried out. */
export interface AnswerField {
  readonly field: string;
  readonly value?: string;
  /** What is asked. */
  readonly ask?: Fields;
  /** The way in which alone the field is there. */
  readonly only?: "whole" | "streamed";
  /** The field's value in an answer. */
  read(seen: Seen): unknown;
  /**
   * What GigaChat says, and what the field is then, or how that is found. By two that differ it is
   * seen to follow.
   */
  readonly cases?: readonly (readonly [saying: Saying & { ask?: Fields }, value: unknown])[];
  /** What GigaChat says where the field does not follow it. */
  readonly saying?: Saying;
  /** Where GigaChat says the same in its answer, or in the first event of one. */
  origin?(said: Fields, version: Way["version"]): unknown;
  /** Checks a value that does not follow what GigaChat says. */
  is?(value: unknown, seen: Seen): boolean;
  /** What the values show, for people. */
  readonly note?: string;
}

/** Tries an answer's field out, whole and streamed. @returns What both showed. */
export async function answerVerdictOf(
  { ask = {}, only, read, cases = [], saying, origin, is, note = "" }: AnswerField,
  version: Way["version"],
  probe: FieldProbe,
): Promise<AnswerVerdict> {
  assert(cases.length > 0 || is !== undefined || note === "", "nothing checks what the note says");
  const verdicts: AnswerVerdict[] = [];
  for (const streamed of [false, true]) {
    if (only !== undefined && (only === "streamed") !== streamed) continue;
    const usage = streamed && { stream_options: { include_usage: true } };
    const hear = async (saying: Saying | undefined, fields: Fields = {}) => {
      const way = { version, streamed, policy: "refuse" } as const;
      const seen = await probe.ask({ ...usage, ...ask, ...fields }, saying, way);
      assertEquals(seen.status, 200, seen.error?.message);
      return { seen, value: read(seen) ?? undefined };
    };
    const heard = [];
    for (const [{ ask: fields, ...saying }, wanted] of cases) {
      heard.push({ wanted, ...await hear(saying, fields) });
    }
    if (heard.length === 0) {
      const { seen, value } = await hear(saying);
      if (value !== undefined) assert(is?.(value, seen), `it is ${JSON.stringify(value)}`);
      const isSaid = value !== undefined && origin?.(seen.said[0]!, version) === value;
      verdicts.push(value === undefined ? "absent" : isSaid ? "exact" : "emulated");
    } else if (heard.every(({ value }) => value === undefined)) verdicts.push("absent");
    else {
      assertNotEquals(heard[0]!.value, heard[1]!.value, "it does not follow what GigaChat says");
      for (const { seen, value, wanted } of heard) {
        assertEquals(value, typeof wanted === "function" ? wanted(seen) : wanted);
      }
      verdicts.push("exact");
    }
  }
  for (const each of verdicts) assertEquals(each, verdicts[0], "whole and streamed differ");
  return verdicts[0]!;
}
