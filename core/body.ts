/**
 * The kinds of requests that pass the six moments.
 *
 * @module
 */
import { type Counted, countTexts } from "./bounded_count.ts";
import { type ChatBody, parseChatBody } from "./chat.ts";
import { countEmbeddingsInput, type EmbeddingsBody, parseEmbeddingsBody } from "./embeddings.ts";
import { parseJson } from "./json_body.ts";
import { countInput, hasOnlyText, type Tokenizer } from "./tokens.ts";

/** A request's body; only a chat has `messages`. */
export type Body = ChatBody | EmbeddingsBody;

/** Parses a body, by the path that it was sent to. */
export const parsers = {
  "/v1/chat/completions": parseChatBody,
  "/v1/embeddings": parseEmbeddingsBody,
} as const satisfies Record<string, (bytes: Uint8Array) => Body>;

/** A path whose requests pass the six moments. */
export type Path = keyof typeof parsers;

/**
 * The path that a body was meant for: only embeddings have an `input`.
 *
 * @throws {RouterError} `invalid_request` where it is no JSON that is taken.
 */
export function pathOf(bytes: Uint8Array): Path {
  const body = Object(parseJson(bytes));
  return "input" in body && !("messages" in body) ? "/v1/embeddings" : "/v1/chat/completions";
}

/** Whether a path is one of {@linkcode Path}. */
export function isPath(path: string): path is Path {
  return Object.hasOwn(parsers, path);
}

/** Whether a request is a chat. */
export function isChat(body: Body): body is ChatBody {
  return body.messages !== undefined;
}

/**
 * The output tokens that each alternative may have, where the client says so: which of the two fields
 * counts is the vendor's choice.
 */
export function askedOutput(body: Body): number | undefined {
  const { max_tokens: old, max_completion_tokens: current } = body;
  return old == null && current == null ? undefined : Math.max(old ?? 0, current ?? 0);
}

/**
 * Input tokens of a request; a promise where its texts are long.
 *
 * @param client Once it has gone, the counting ends.
 * @throws The signal's reason.
 */
export function countBody(
  body: Body,
  tokenizer: Tokenizer,
  client?: { readonly signal: AbortSignal },
): Counted | Promise<Counted> {
  const texts: string[] = [];
  const collect = {
    count(text: string) {
      texts.push(text);
      return 0;
    },
  };
  const beside = isChat(body) ? countInput(body, collect) : countEmbeddingsInput(body, collect);
  const all = ({ tokens, exact }: Counted) => ({ tokens: beside + tokens, exact });
  const counted = countTexts(texts, tokenizer, client);
  return counted instanceof Promise ? counted.then(all) : all(counted);
}

/** Whether the whole input is text, so that its tokens are counted and not estimated. */
export function isText(body: Body): boolean {
  return !isChat(body) || hasOnlyText(body.messages);
}
