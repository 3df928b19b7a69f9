/**
 * The one place where a provider's members are called that translate a request and its answer, or
 * stand in for the network. What they throw that is no refusal is a mistake of their module's, and
 * neither the vendor's nor the network's.
 *
 * @module
 */
import { isReply } from "./chunk.ts";
import type { ChatBody, ChatReply } from "./chat.ts";
import { RouterError, stackOf, toRouterError, withTexts } from "./errors.ts";
import type { Call, Decoder, EmbeddingsWire, Provider, Wire } from "./provider.ts";
import { unreadable } from "./upstream.ts";

/**
 * A provider's module. Each method throws `provider_failed` where the member of its name crashes or
 * returns what it may not; the detail names the member, with the stack.
 */
export class VendorModule {
  readonly #provider: Provider;
  readonly #redact: (text: string) => string;

  /**
   * @param provider The provider as its file declares it.
   * @param redact Strikes an account's secrets out of what the module says: it may repeat its vendor.
   */
  constructor(provider: Provider, redact: (text: string) => string = (text) => text) {
    this.#provider = provider;
    this.#redact = redact;
  }

  /** What gets what a chat needs before an account is taken; nothing where it needs nothing. */
  prepare(body: ChatBody): ((signal: AbortSignal) => Promise<unknown>) | undefined {
    const get = this.#run("prepare", () => this.#provider.prepare?.(body));
    return get && ((signal) => this.#wait("prepare", async () => await get(signal), signal));
  }

  /** The body as the vendor wants it; the client's where it needs no change. */
  encode(body: ChatBody, call: Call, prepared: unknown): unknown {
    if (this.#provider.encode === undefined) return body;
    const encode = async () => await this.#provider.encode!(body, call, prepared) ?? body;
    return this.#wait("encode", encode, call.signal);
  }

  /**
   * What was encoded as JSON. A client's body is always that: where nobody encodes, one that cannot be
   * is a plugin's doing, and `internal`.
   *
   * @param headers What `encode` may have added headers to.
   */
  toJson(encoded: unknown, headers: Readonly<Record<string, string>>): string {
    if (this.#provider.encode === undefined) {
      try {
        return JSON.stringify(encoded);
      } catch (error) {
        const body = `the body of a try for provider "${this.#provider.name}"`;
        throw toRouterError(error, `A plugin made ${body} what JSON cannot hold`);
      }
    }
    return this.#run("encode", () => {
      // A name or a value that cannot be sent throws.
      new Headers(headers);
      const json: string | undefined = JSON.stringify(encoded);
      if (json?.startsWith("{")) return json;
      throw new TypeError(`must return a JSON object, and not ${json}`);
    });
  }

  /** The address of a chat. */
  chatUrl(body: ChatBody, wire: Wire): string {
    if (this.#provider.chatUrl === undefined) return `${wire.baseUrl}/chat/completions`;
    return this.#run("chatUrl", () => new URL(this.#provider.chatUrl!(body, wire)).href);
  }

  /** What translates one answer; `undefined` where that passes untouched. */
  decoder(body: ChatBody, call: Call): Decoder | undefined {
    const decoder = this.#run("decoder", () => this.#provider.decoder?.(body, call));
    if (decoder === undefined) return undefined;
    return {
      get ended() {
        return decoder.ended === true;
      },
      get done() {
        return decoder.done === true;
      },
      event: (data, name) =>
        this.#run("decoder.event", () => {
          const replies = ofJson(() => decoder.event(data, name));
          if (Array.isArray(replies) && replies.every(isReply)) return replies;
          throw new TypeError("must return a list of replies");
        }),
      whole: (json) =>
        this.#run("decoder.whole", () => {
          const reply: ChatReply = decoder.whole(json);
          if (isReply(reply)) return reply;
          throw new TypeError("must return a reply");
        }),
    };
  }

  /** Whether a refused chat should be sent once more. */
  sendAgain(refusal: RouterError, body: ChatBody, call: Call): boolean {
    return this.#run("sendAgain", () => this.#provider.sendAgain?.(refusal, body, call) ?? false);
  }

  /** How its embeddings differ from OpenAI's. */
  get embeddings(): EmbeddingsWire {
    const { embeddings = {} } = this.#provider;
    const { encode, decode, ...rest } = embeddings;
    return {
      ...rest,
      ...encode && {
        encode: (body, call) =>
          this.#wait(
            "embeddings.encode",
            async () => await encode.call(embeddings, body, call),
            call.signal,
          ),
      },
      ...decode && {
        decode: (json) => this.#run("embeddings.decode", () => decode.call(embeddings, json)),
      },
    };
  }

  /** The refusal as the provider names it, if it does. */
  fault(
    status: number,
    body: string,
    headers: Headers,
    call: Call | undefined,
  ): RouterError | undefined {
    return this.#run("fault", () => {
      const error = this.#provider.fault?.(status, body, headers, call);
      if (error === undefined || error instanceof RouterError) return error;
      throw new TypeError("must return a RouterError, or nothing");
    });
  }

  /** Answers inside this process, for a provider that does. */
  async fetch(request: Request, settings: Record<string, unknown>): Promise<Response> {
    const answer = async () => {
      const response = await this.#provider.fetch!(request, settings);
      if (response instanceof Response) return response;
      throw new TypeError("must return a Response");
    };
    return await this.#wait("fetch", answer, request.signal);
  }

  #run<Result>(member: string, code: () => Result): Result {
    try {
      return code();
    } catch (thrown) {
      throw this.#failure(member, thrown);
    }
  }

  /** @param signal What is thrown once it has fired is its doing. */
  async #wait<Result>(
    member: string,
    code: () => Promise<Result>,
    signal: AbortSignal,
  ): Promise<Result> {
    try {
      return await code();
    } catch (thrown) {
      throw signal.aborted ? thrown : this.#failure(member, thrown);
    }
  }

  #failure(member: string, thrown: unknown): RouterError {
    if (thrown instanceof RouterError) return withTexts(thrown, this.#redact);
    return new RouterError(
      "provider_failed",
      `XRouter's module for provider "${this.#provider.name}" failed on this request`,
      { detail: this.#redact(`${member}: ${stackOf(thrown)}`), cause: thrown },
    );
  }
}

/** Reads an event: of a text that should be JSON, and is none, the vendor is to blame. */
function ofJson<Result>(read: () => Result): Result {
  try {
    return read();
  } catch (error) {
    throw error instanceof SyntaxError ? unreadable(error) : error;
  }
}
