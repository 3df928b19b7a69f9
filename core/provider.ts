/**
 * What a provider is: a vendor's name, its address, and whatever differs from OpenAI's wire.
 *
 * Two fields are required; every method is optional and has an OpenAI-shaped default. The file's
 * place in `providers/` registers it.
 *
 * @module
 */
import { z } from "zod";
import type { ChatBody, ChatReply } from "./chat.ts";
import type { RouterError } from "./errors.ts";
import type { DeclaredFacts } from "./model.ts";

export type { DeclaredFacts, ModelFacts } from "./model.ts";
export type { Price } from "./prices/price.ts";
export type { DatedPrice, DeclaredPrice } from "./prices/tariff.ts";
export type { ChatBody, ChatReply, WireUsage } from "./chat.ts";
export { RouterError } from "./errors.ts";
export { setting } from "./settings.ts";

/** What a provider's methods may use. */
export interface Wire<Settings = Record<string, unknown>> {
  /** The provider's settings; the same object as long as the program runs. */
  readonly settings: Settings;
  /** The address in force, without a slash at its end. */
  readonly baseUrl: string;
  /**
   * Calls a vendor's address as it is, through the provider's own HTTP client, without signing in.
   * The call has a deadline of its own, not that of a request, because several may wait for it.
   */
  fetch(url: string, init?: RequestInit): Promise<Response>;
  /** Calls a path under `baseUrl`, signed in; a 401 refreshes the sign-in once. */
  send(path: string, init?: RequestInit): Promise<Response>;
}

/** Turns one vendor's answer into OpenAI's; a fresh one is made for each attempt. */
export interface Decoder {
  /**
   * One event of a stream, as the vendor sent it: the text after `data:`.
   *
   * @returns The events for the client; none to hold this one back.
   */
  event(data: string, name?: string): ChatReply[];
  /** A whole answer. */
  whole(json: unknown): ChatReply;
}

/** A provider. See the table in `providers/README.md` for what each member is for. */
export interface Provider<Settings extends z.ZodType = z.ZodType> {
  /** Lower-case word, unique; the part before the slash in `vendor/model`. */
  readonly name: string;
  /** The address that `/chat/completions` is appended to. `{NAME}_BASE_URL` overrides it. */
  readonly baseUrl: string;
  /** Its settings; the default is one, the secret `apiKey` from `{NAME}_API_KEY`. */
  readonly settings?: Settings;
  /** What is known of its models, by id. Those not named here work too. */
  readonly models?: Readonly<Record<string, DeclaredFacts>>;
  /**
   * What keeps it from being used, as an instruction: `Set GIGACHAT_CREDENTIALS`. The default asks
   * for `apiKey`, unless the provider signs in by its own `authorize` or has no `apiKey`.
   */
  missing?(settings: z.output<Settings>): string | undefined;
  /** Ids of the models that the vendor offers now. The default reads `GET {baseUrl}/models`. */
  listModels?(wire: Wire<z.output<Settings>>): Promise<string[]>;
  /**
   * Headers that sign a call in.
   *
   * @param rejected The headers that the vendor has just answered with 401; get new ones.
   */
  authorize?(
    wire: Wire<z.output<Settings>>,
    rejected?: Readonly<Record<string, string>>,
  ): Record<string, string> | Promise<Record<string, string>>;
  /** Options of the HTTP client, such as the vendor's certificate authority. */
  httpClient?(settings: z.output<Settings>, baseUrl: string): Deno.CreateHttpClientOptions;
  /** Translates a request; the default sends it unchanged. */
  encode?(body: ChatBody, wire: Wire<z.output<Settings>>): unknown | Promise<unknown>;
  /** Makes the translator of one answer; without it the answer's bytes pass untouched. */
  decoder?(body: ChatBody): Decoder;
  /** Names a refusal; `undefined` leaves it to the default, which goes by the status. */
  fault?(status: number, body: string, headers: Headers): RouterError | undefined;
  /**
   * When the client goes away: `cancel` ends the call, for vendors that stop billing then; `drain`
   * (the default) reads on, so that what is billed is also known.
   */
  readonly onAbort?: "drain" | "cancel";
  /** Answers inside this process instead of over the network. */
  fetch?(request: Request, settings: z.output<Settings>): Promise<Response>;
}

/**
 * Types a provider; a provider file's default export is its result.
 *
 * @example A vendor that speaks OpenAI
 * ```ts
 * import { defineProvider } from "xrouter/provider";
 * import { assertEquals } from "@std/assert";
 *
 * const provider = defineProvider({ name: "deepseek", baseUrl: "https://api.deepseek.com/v1" });
 * assertEquals(provider.name, "deepseek");
 * ```
 */
export function defineProvider<Settings extends z.ZodType = z.ZodType<{ apiKey?: string }>>(
  provider: Provider<Settings>,
): Provider<Settings> {
  return provider;
}
