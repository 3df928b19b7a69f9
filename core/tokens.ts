import {
  CL100K_TOKEN_SPLIT_REGEX,
  O200K_TOKEN_SPLIT_REGEX,
} from "gpt-tokenizer/encodingParams/constants";
import { tokensOfAttached } from "./attached_tokens.ts";
import { RecentTexts } from "./recent_texts.ts";

/** The byte-pair encodings whose tokens can be counted, by their OpenAI names. */
export const encodings = ["o200k_base", "cl100k_base"] as const;

/** One of {@linkcode encodings}. */
export type Encoding = (typeof encodings)[number];

/** Counts the tokens of a text in one encoding; made by {@linkcode loadTokenizer}. */
export interface Tokenizer {
  /** What it counts in. */
  readonly encoding: Encoding;
  /**
   * Tokens of `text`. The text of a special token, such as `<|endoftext|>`, counts as ordinary text.
   * Two things are not exact: runs longer than {@linkcode wholeRun} (see {@linkcode cutRuns}) and
   * U+FEFF, which counts a token too many because gpt-tokenizer cannot merge its bytes.
   */
  count(text: string): number;
  /** The same count in its parts, each of some {@linkcode partUnits}: between two others may work. */
  parts(text: string): Iterable<number>;
}

/** UTF-16 units of one of {@linkcode Tokenizer.parts}: counted in at most some 5 ms, measured. */
export const partUnits = 2 * 1024;

/**
 * Runs of up to this many UTF-16 units are always counted whole. Merging a run takes time quadratic
 * in its length: measured, 1 MB of hostile text costs no more at 256 than at 64, where looking up
 * pairs dominates, but up to 1.7 times as much at 1,024; words, rules and indents stay below 256.
 */
export const wholeRun = 256;

/**
 * The edge of a run. Within three units of it ends a piece of the pre-tokenizer of either encoding,
 * and only the bytes of one piece are merged with each other.
 */
const edge = new RegExp(
  [
    /\p{L}(?![\p{L}\p{M}])/u, // the end of a word
    /[^\p{L}\p{M}](?=\p{L})/u, // the start of a word
    /\p{N}/u, // a digit; they go by threes
    /\S(?=[^\S\r\n])/u, // the start of blank space
    /\s(?=[^\s/])/u, // the end of blank space; o200k_base adds slashes to line ends
  ].map(({ source }) => source).join("|"),
  "gu",
);

/**
 * Cuts `text` inside its long runs of letters, of punctuation and emoji, or of blank space, so that
 * no piece to merge is longer than 2 × {@linkcode wholeRun} + 4 units; never cuts a surrogate pair.
 * Text without a run longer than {@linkcode wholeRun} stays one part and its count exact. A cut adds
 * at most 4 tokens, or saves 2, and mostly changes nothing (measured on 50 kinds of run).
 *
 * @yields Between two steps of {@linkcode wholeRun} units, the tokens counted: none. Other work may
 * be done there, since letters outside Latin take 0.1 µs each to look at.
 * @returns The parts.
 */
export function* cutRuns(text: string): Generator<number, string[]> {
  const parts: string[] = [];
  let start = 0;
  for (let at = 0; at + wholeRun < text.length;) {
    // As far as an edge matters, with the code points around, by which it is known.
    const from = Math.max(at - 1, 0);
    const around = text.slice(from, at + wholeRun + 2);
    edge.lastIndex = at - from;
    at += wholeRun;
    if (!edge.test(around) || from + edge.lastIndex > at) {
      if (text.codePointAt(at - 1)! > 0xffff) at--;
      parts.push(text.slice(start, at));
      start = at;
    }
    yield 0;
  }
  parts.push(text.slice(start));
  return parts;
}

const sources = {
  "o200k_base": {
    pattern: O200K_TOKEN_SPLIT_REGEX,
    module: () => import("gpt-tokenizer/encoding/o200k_base"),
  },
  "cl100k_base": {
    pattern: CL100K_TOKEN_SPLIT_REGEX,
    module: () => import("gpt-tokenizer/encoding/cl100k_base"),
  },
};

const tokenizers = new Map<Encoding, Promise<Tokenizer>>();

/** The tokenizer of an encoding, loaded on first use: `o200k_base` takes about 0.2 s and 60 MB. */
export function loadTokenizer(encoding: Encoding): Promise<Tokenizer> {
  let tokenizer = tokenizers.get(encoding);
  if (!tokenizer) tokenizers.set(encoding, tokenizer = load(encoding));
  return tokenizer;
}

/** Counted pieces that a tokenizer remembers, enough for a few long chats and 20 MB at worst. */
const remembered = 16_384;

/**
 * UTF-16 units of one half of the counted texts, 4 MB at worst: a chat sends its system prompt and its
 * history with every turn.
 */
const textUnits = 2 * 1024 * 1024;

async function load(encoding: Encoding): Promise<Tokenizer> {
  const { pattern, module } = sources[encoding];
  const { countTokens, setMergeCacheSize } = await module();
  // gpt-tokenizer's own cache takes time in proportion to its size for each hit, and each new piece
  // once it is full: over a minute for a megabyte of "a!" after 100,000 words.
  setMergeCacheSize(0);
  const counts = new Map<string, number>();

  function learn(piece: string): number {
    // No piece holds a whole special token, so that none is refused.
    const tokens = countTokens(piece);
    if (counts.size === remembered) counts.clear();
    counts.set(piece, tokens);
    return tokens;
  }

  const texts = new RecentTexts<number>(textUnits);
  // A copy: gpt-tokenizer begins where its own pattern has stopped.
  const next = new RegExp(pattern, "uy");

  function* parts(text: string): Generator<number> {
    const known = texts.get(text);
    if (known !== undefined) return yield known;
    let sum = 0;
    for (const run of yield* cutRuns(text)) {
      for (let at = 0; at < run.length;) {
        const stop = Math.min(at + partUnits, run.length);
        let tokens = 0;
        // Not matchAll: its match objects cost more than the counting of what they hold.
        while (at < stop) {
          // Another text may have been counted meanwhile. The pieces leave nothing out.
          next.lastIndex = at;
          next.test(run);
          const piece = run.slice(at, at = next.lastIndex);
          tokens += counts.get(piece) ?? learn(piece);
        }
        sum += tokens;
        yield tokens;
      }
    }
    texts.set(text, sum);
  }

  function count(text: string): number {
    let tokens = 0;
    for (const part of parts(text)) tokens += part;
    return tokens;
  }

  return { encoding, parts, count: (text) => texts.get(text) ?? count(text) };
}

// OpenAI's cookbook, "How to count tokens with tiktoken".
const perMessage = 3;
const perName = 1;
const perReply = 3;

/**
 * Input tokens of an OpenAI chat-completions body: its messages with their names and tool calls, and
 * the priming of the reply, by the rules of OpenAI's cookbook.
 *
 * The rest is an estimate. Tool and function definitions and a JSON schema count as the keys and
 * values of their JSON, one a line: up to 40% more than the declarations OpenAI turns them into.
 * An image counts 765 tokens, the price of 1024 × 1024 pixels; audio and files count by their bytes,
 * where they are in the body ({@linkcode hasOnlyText} tells). A field that should hold text and holds
 * other JSON counts as that JSON. No shape of body raises an error.
 */
export function countInput(
  body: {
    messages: readonly unknown[];
    tools?: unknown;
    functions?: unknown;
    response_format?: unknown;
  },
  tokenizer: Pick<Tokenizer, "count">,
): number {
  const count = (value: unknown) => tokenizer.count(textOf(value));
  let tokens = perReply + count(body.tools) + count(body.functions) +
    count(fields(body.response_format).json_schema);
  for (const message of items(body.messages)) tokens += countMessage(fields(message), count);
  return tokens;
}

type Count = (value: unknown) => number;
type Fields = Readonly<Record<string, unknown>>;

function countMessage(message: Fields, count: Count): number {
  let tokens = perMessage + count(message.role) + count(message.refusal);
  if (typeof message.name === "string") tokens += perName + count(message.name);
  if (Array.isArray(message.content)) {
    for (const part of message.content) tokens += countPart(part, count);
  } else {
    tokens += count(message.content);
  }
  tokens += countCall(fields(message.function_call), count);
  for (const entry of items(message.tool_calls)) {
    const call = fields(entry);
    tokens += countCall(fields(call.function ?? call.custom), count);
  }
  return tokens;
}

function countPart(part: unknown, count: Count): number {
  if (typeof part === "string") return count(part);
  const { text, refusal } = fields(part);
  return tokensOfAttached(fields(part)) ?? count(text) + count(refusal);
}

/** Whether messages hold nothing but text: tokens of other parts are a guess of {@linkcode countInput}. */
export function hasOnlyText(messages: readonly unknown[]): boolean {
  return items(messages).every((message) => {
    const { content, attachments, audio } = fields(message);
    return items(attachments).length === 0 && (audio ?? null) === null &&
      items(content).every((part) =>
        typeof part === "string" || ["text", "refusal"].includes(fields(part).type as string)
      );
  });
}

function countCall(call: Fields, count: Count): number {
  return count(call.name) + count(call.arguments) + count(call.input);
}

function items(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function fields(value: unknown): Fields {
  return typeof value === "object" && value !== null ? value as Fields : {};
}

/** A string as it is, nothing for what is missing, other JSON as its keys and values, one a line. */
function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  if (value === undefined || value === null) return "";
  const lines: string[] = [];
  // Not JSON.stringify: it overflows the stack on some values nested 20,000 deep.
  const rest = [value];
  while (rest.length > 0) {
    const next = rest.pop();
    if (Array.isArray(next)) {
      for (const item of next) rest.push(item);
    } else if (typeof next === "object" && next !== null) {
      for (const [key, field] of Object.entries(next)) rest.push(field, key);
    } else {
      lines.push(String(next));
    }
  }
  return lines.join("\n");
}
