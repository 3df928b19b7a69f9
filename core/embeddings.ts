/**
 * OpenAI's embeddings wire, and what XRouter adds to vendors that know only a part of it.
 *
 * @module
 */
import { z } from "zod";
import { RouterError } from "./errors.ts";
import { checkItems, modelFields, openObject, parseBody, positiveInteger } from "./json_body.ts";
import type { Tokenizer } from "./tokens.ts";

/** How many inputs one request may hold, as at OpenAI. */
export const maxInputs = 2048;

const text = z.string({ error: "must be a string" }).min(1, { error: "must not be empty" });
const ids = z.custom<number[]>(
  (list) => Array.isArray(list) && list.length > 0 && list.every((id) => Number.isInteger(id)),
  { error: "must be a string or a list of token ids" },
);
const inputError = "must be a string, a list of strings or a list of token ids, and not empty";

/** The fields that XRouter checks; every other field passes through unchecked. */
const embeddingsSchema = openObject({
  ...modelFields,
  input: z.custom<string | string[] | number[] | number[][]>(
    (input) => typeof input === "string" ? input !== "" : Array.isArray(input) && input.length > 0,
    { error: inputError },
  ).superRefine((input, context) => {
    if (typeof input === "string" || typeof input[0] === "number") return;
    checkItems(typeof input[0] === "string" ? text : ids)(input, context);
  }),
  encoding_format: z.enum(["float", "base64"], { error: 'must be "float" or "base64"' }).nullish(),
  dimensions: positiveInteger,
}, { error: "must be a JSON object" });

/** Fields that only chat requests have. */
interface NoChat {
  messages?: undefined;
  stream?: undefined;
  stream_options?: undefined;
  max_tokens?: undefined;
  max_completion_tokens?: undefined;
  n?: undefined;
}

/** A request's body: the checked fields typed, the others as they came. */
export type EmbeddingsBody = z.infer<typeof embeddingsSchema> & { model: string } & NoChat;

/** An answer. */
export interface EmbeddingsReply {
  /** `list`. */
  object: string;
  /** The vectors, in the order of the inputs; base64 holds 32-bit floats, the low byte first. */
  data: { object: string; index: number; embedding: number[] | string; [field: string]: unknown }[];
  /** What was used: an answer of vectors has no tokens of its own. */
  usage?: { prompt_tokens: number; total_tokens: number; [field: string]: unknown };
  /** What else the provider sends. */
  [field: string]: unknown;
}

/**
 * Parses and checks a request's body.
 *
 * @throws {RouterError} `invalid_request` naming the first field that is wrong.
 */
export function parseEmbeddingsBody(bytes: Uint8Array): EmbeddingsBody {
  return parseBody(bytes, embeddingsSchema, (json) => {
    const fields = json as { input?: unknown; messages?: unknown } | null;
    if (Array.isArray(fields?.input) && typeof fields.input[0] !== "number") {
      const { length } = fields.input;
      if (length > maxInputs) {
        throw new RouterError(
          "invalid_request",
          `"input" holds ${length} inputs; at most ${maxInputs} are taken`,
          { param: "input" },
        );
      }
    }
    for (const field of ["messages", "stream"]) {
      if ((json as Record<string, unknown> | null)?.[field] == null) continue;
      throw new RouterError(
        "invalid_request",
        `"${field}" belongs to /v1/chat/completions. Leave it out`,
        { param: field },
      );
    }
  }) as EmbeddingsBody;
}

/** Input tokens: those of the texts, or the ids themselves. */
export function countEmbeddingsInput(
  { input }: EmbeddingsBody,
  tokenizer: Pick<Tokenizer, "count">,
): number {
  if (typeof input === "string") return tokenizer.count(input);
  let tokens = 0;
  for (const item of input) {
    tokens += typeof item === "number"
      ? 1
      : typeof item === "string"
      ? tokenizer.count(item)
      : item.length;
  }
  return tokens;
}

/**
 * The texts of a request, for vendors that take nothing else.
 *
 * @throws {RouterError} `invalid_request` for token ids, which mean nothing to another tokenizer.
 */
export function textsOf({ input }: EmbeddingsBody): string[] {
  if (typeof input === "string") return [input];
  if (typeof input[0] === "string") return input as string[];
  throw new RouterError(
    "invalid_request",
    '"input" holds token ids, which only the vendor of their tokenizer can read. Send texts',
    { param: "input" },
  );
}

/**
 * Gives a reply of plain vectors the form that the client asked for.
 *
 * @param reply Vectors as lists of numbers.
 * @throws {RouterError} `invalid_request` when more dimensions are asked for than there are.
 */
export function shapeEmbeddings(
  reply: EmbeddingsReply,
  { encoding_format: format, dimensions }: EmbeddingsBody,
): EmbeddingsReply {
  if (!dimensions && format !== "base64") return reply;
  const data = reply.data.map((item) => {
    let vector = item.embedding as number[];
    if (dimensions) vector = shorten(vector, dimensions);
    return { ...item, embedding: format === "base64" ? toBase64(vector) : vector };
  });
  return { ...reply, data };
}

/** The first numbers of a vector, brought to the length 1 again, as OpenAI does it. */
function shorten(vector: number[], dimensions: number): number[] {
  if (dimensions > vector.length) {
    throw new RouterError(
      "invalid_request",
      `"dimensions" must be at most ${vector.length} for this model`,
      { param: "dimensions" },
    );
  }
  if (dimensions === vector.length) return vector;
  const cut = vector.slice(0, dimensions);
  const length = Math.hypot(...cut);
  return length === 0 ? cut : cut.map((number) => number / length);
}

function toBase64(vector: number[]): string {
  const view = new DataView(new ArrayBuffer(4 * vector.length));
  for (const [place, number] of vector.entries()) view.setFloat32(4 * place, number, true);
  return new Uint8Array(view.buffer).toBase64();
}

/** Several replies of one input each as one. */
export function joinEmbeddings(replies: readonly EmbeddingsReply[]): EmbeddingsReply {
  const used = replies.map(({ usage }) => usage?.prompt_tokens);
  const tokens = used.reduce<number>((sum, each) => sum + (each ?? 0), 0);
  const { usage: _usage, ...first } = replies[0]!;
  return {
    ...first,
    data: replies.map(({ data }, index) => ({ ...data[0]!, index })),
    // A part of the truth would be charged as the whole of it.
    ...(used.every((each) => each !== undefined) && {
      usage: { prompt_tokens: tokens, total_tokens: tokens },
    }),
  };
}
