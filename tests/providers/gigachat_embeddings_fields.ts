// deno-lint-ignore-file camelcase -- the names of the wire
/** The fields of OpenAI's embeddings, and how each is tried out. */
import { assert, assertEquals, assertNotEquals, assertStringIncludes } from "@std/assert";
import type OpenAI from "openai";
import { dimensions, vectorOf } from "../support/fake_gigachat_embeddings.ts";
import type { FieldProbe, Fields } from "../support/field_probe.ts";
import type { AnswerVerdict, Verdict } from "../support/field_verdict.ts";

/** Every field of a request that OpenAI's client knows. */
export const embeddingsFields: Readonly<Record<keyof OpenAI.EmbeddingCreateParams, true>> = {
  dimensions: true,
  encoding_format: true,
  input: true,
  model: true,
  user: true,
};

/** Every field of an answer that OpenAI's client knows. */
export const embeddingsAnswerFields: Readonly<
  Record<keyof OpenAI.CreateEmbeddingResponse, true>
> = { data: true, model: true, object: true, usage: true };

type Reply = { data: { embedding: unknown; index: number; object: string }[] } & {
  [field: string]: unknown;
  usage: { prompt_tokens: number; total_tokens: number };
};

/** One field of a request. */
export interface EmbeddingsField {
  readonly field: string;
  readonly value?: string;
  readonly ask: Fields;
  see?(reply: Reply, sent: Fields): void;
  /** What `see` checks, or what a refusal says, word for word. */
  readonly note?: string;
}

/** One field of an answer. */
export interface EmbeddingsAnswerField {
  readonly field: string;
  read(reply: Reply): unknown;
  /** What is asked, and what the field is then. */
  readonly cases: readonly (readonly [ask: Fields, value: unknown])[];
  readonly note: string;
}

const usual = { model: "gigachat/Embeddings", input: "раз" };
const halves = (text: string) => {
  const cut = vectorOf(text).slice(0, dimensions / 2);
  return cut.map((number) => number / Math.hypot(...cut));
};

/** Tries a request's field out. */
export async function embeddingsVerdictOf(
  { field, ask, see, note = "" }: EmbeddingsField,
  probe: FieldProbe,
): Promise<Verdict> {
  const { status, json, sent } = await probe.embed({ ...usual, ...ask });
  if (status !== 200) {
    const { param, message } = json.error as { param: string; message: string };
    assertEquals([status, param, sent], [400, field, {}]);
    assertStringIncludes(message, note);
    return "refused";
  }
  const without = await probe.embed(usual);
  see?.(json as Reply, sent);
  assert(see !== undefined || note === "", "nothing checks what the note says");
  if (JSON.stringify(sent) !== JSON.stringify(without.sent)) return "exact";
  return JSON.stringify(json) === JSON.stringify(without.json) ? "ignored" : "emulated";
}

/** Tries an answer's field out. */
export async function embeddingsAnswerVerdictOf(
  { cases, read }: EmbeddingsAnswerField,
  probe: FieldProbe,
): Promise<AnswerVerdict> {
  const values: unknown[] = [];
  for (const [ask, value] of cases) {
    const { json } = await probe.embed({ ...usual, ...ask });
    values.push(read(json as Reply));
    assertEquals(values.at(-1), value);
  }
  if (values.length === 1) return "emulated";
  assertNotEquals(values[0], values[1], "it does not follow what GigaChat says");
  return "exact";
}

const texts = { input: ["раз", "два слова"] };

/** The table's rows. */
export const embeddingsRows: readonly EmbeddingsField[] = [
  {
    field: "model",
    ask: { model: "gigachat/EmbeddingsGigaR" },
    see: (_, sent) => assertEquals(sent.model, "EmbeddingsGigaR"),
    note: "without the `gigachat/` before it",
  },
  {
    field: "input",
    value: "a text",
    ask: { input: "два" },
    see: (_, sent) => assertEquals(sent.input, ["два"]),
    note: "a list of one",
  },
  {
    field: "input",
    value: "a list of texts",
    ask: texts,
    see: (_, sent) => assertEquals(sent.input, texts.input),
    note: "passes",
  },
  {
    field: "input",
    value: "token ids",
    ask: { input: [1, 2] },
    note: "holds token ids, which only the vendor of their tokenizer can read. Send texts",
  },
  {
    field: "dimensions",
    ask: { dimensions: dimensions / 2 },
    see: ({ data }) => assertEquals(data[0]!.embedding, halves("раз")),
    note: "the first numbers, brought to the length 1 again",
  },
  {
    field: "encoding_format",
    value: "base64",
    ask: { encoding_format: "base64" },
    see: ({ data }) => {
      const { buffer } = Uint8Array.fromBase64(String(data[0]!.embedding));
      const view = new DataView(buffer);
      const numbers = vectorOf("раз").map((_, at) => view.getFloat32(at * 4, true));
      assertEquals(numbers, vectorOf("раз").map(Math.fround));
      assertEquals(view.byteLength, numbers.length * 4);
    },
    note: "32-bit floats, the low byte first",
  },
  { field: "user", ask: { user: "user-7" } },
];

/** The table's rows. */
export const embeddingsAnswerRows: readonly EmbeddingsAnswerField[] = [
  {
    field: "object",
    read: ({ object, data }) => [object, data[0]!.object],
    cases: [[{}, ["list", "embedding"]]],
    note: "`list`, and `embedding` of each",
  },
  {
    field: "model",
    read: ({ model }) => model,
    cases: [[{}, "Embeddings"], [{ model: "gigachat/EmbeddingsGigaR" }, "EmbeddingsGigaR"]],
    note: "as GigaChat says",
  },
  {
    field: "data[].embedding",
    read: ({ data }) => data[0]!.embedding,
    cases: [[{}, vectorOf("раз")], [{ input: "два" }, vectorOf("два")]],
    note: "as GigaChat says",
  },
  {
    field: "data[].index",
    read: ({ data }) => data.map(({ index }) => index),
    cases: [[{}, [0]], [texts, [0, 1]]],
    note: "as GigaChat says",
  },
  {
    field: "usage.prompt_tokens",
    read: ({ usage }) => usage.prompt_tokens,
    cases: [[{}, 1], [texts, 4]],
    note: "the sum of what GigaChat says of each text",
  },
  {
    field: "usage.total_tokens",
    read: ({ usage }) => usage.total_tokens,
    cases: [[{}, 1], [texts, 4]],
    note: "the same",
  },
];
