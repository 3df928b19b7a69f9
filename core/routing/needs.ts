/**
 * What a request needs of the model that serves it.
 *
 * @module
 */
import { askedOutput, type Body, isChat } from "../body.ts";
import type { ErrorCode } from "../errors.ts";
import type { ModelFacts } from "../model.ts";
import type { ApiKey } from "../store/keys.ts";

/** The languages that letters can tell apart. */
export const languages = ["ru", "en"] as const;

/** Characters of a message whose letters tell its language. */
const looked = 4_096;

/** What is asked for, and by whom. */
export interface RouteRequest {
  /** The body, checked. */
  readonly body: Body;
  /** The client's headers. */
  readonly headers: Headers;
  /** The key that asks; absent where nobody has looked at the key. */
  readonly caller: ApiKey | undefined;
  /** Input tokens, as counted. */
  readonly inputTokens: number;
}

/** What a request needs. What takes a look at the messages is found out when it is first asked for. */
export class Needs implements RouteRequest {
  readonly body: Body;
  readonly headers: Headers;
  readonly caller: ApiKey | undefined;
  readonly inputTokens: number;
  #images: boolean | undefined;

  /** @param request What is asked for. */
  constructor({ body, headers, caller, inputTokens }: RouteRequest) {
    this.body = body;
    this.headers = headers;
    this.caller = caller;
    this.inputTokens = inputTokens;
  }

  /** What the client wrote into `x-xrouter-tag`. */
  get tag(): string | undefined {
    return this.headers.get("x-xrouter-tag") ?? undefined;
  }

  /** The output tokens that the client asks for at most, where it says so. */
  get outputTokens(): number | undefined {
    return askedOutput(this.body);
  }

  /** Whether there are tools, or functions, their elder form. */
  get tools(): boolean {
    if (!isChat(this.body)) return false;
    const { tools, functions } = this.body as { tools?: unknown; functions?: unknown };
    return [tools, functions].some((list) => Array.isArray(list) && list.length > 0);
  }

  /** Whether a message has an image. */
  get images(): boolean {
    return this.#images ??= isChat(this.body) &&
      this.body.messages.some(({ content }) =>
        Array.isArray(content) && content.some(({ type }) => /^(image_url|input_image)$/.test(type))
      );
  }

  /** The language of the last user message by its letters; none where it has no letters. */
  get language(): typeof languages[number] | undefined {
    if (!isChat(this.body)) return undefined;
    const content = this.body.messages.findLast(({ role }) => role === "user")?.content;
    const parts = (Array.isArray(content) ? content : []) as { text?: unknown }[];
    const text = typeof content === "string"
      ? content
      : parts.map((part) => typeof part.text === "string" ? part.text : "").join(" ");
    const letters = text.slice(0, looked).match(/\p{L}/gu) ?? [];
    if (letters.length === 0) return undefined;
    const cyrillic = letters.filter((letter) => /\p{sc=Cyrillic}/u.test(letter)).length;
    return cyrillic * 2 >= letters.length ? "ru" : "en";
  }
}

/** Why a model cannot serve a request. */
export interface Incapable {
  /** What to refuse the request with if nobody can. */
  readonly code: ErrorCode;
  /** In words that follow a target's name. */
  readonly reason: string;
  /** The request's field that it is about. */
  readonly param: string;
}

/** Why a model cannot serve a request, as far as its facts say. */
export function incapable(
  { kind, context, tools, images }: ModelFacts,
  needs: Needs,
): Incapable | undefined {
  if (kind !== undefined && isChat(needs.body) !== (kind === "chat")) {
    const reason = kind === "chat"
      ? "chats, and makes no embeddings. Ask it at /v1/chat/completions"
      : "makes embeddings, and does not chat. Ask it at /v1/embeddings";
    return { code: "invalid_request", reason, param: "model" };
  }
  // The input of embeddings is many texts, of which each has the context for itself.
  if (context !== undefined && isChat(needs.body)) {
    const { inputTokens, outputTokens = 0 } = needs;
    if (inputTokens + outputTokens > context) {
      const asked = outputTokens === 0 ? "" : ` and ${outputTokens} asked for`;
      const reason = `has room for ${context} tokens, not for ${inputTokens} of input${asked}`;
      return { code: "context_length_exceeded", reason, param: "messages" };
    }
  }
  if (tools === false && needs.tools) {
    return { code: "invalid_request", reason: "cannot call tools", param: "tools" };
  }
  if (images === false && needs.images) {
    return { code: "invalid_request", reason: "cannot see images", param: "messages" };
  }
  return undefined;
}
