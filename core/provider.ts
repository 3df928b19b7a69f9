/**
 * What a provider is: a vendor's name, its address, and whatever differs from OpenAI's wire.
 *
 * The name is required; everything else is optional and has an OpenAI-shaped default. The file's
 * place in `providers/` registers it.
 *
 * @module
 */
import { z } from "zod";
import type { Body } from "./body.ts";
import type { ChatBody, ChatReply } from "./chat.ts";
import type { EmbeddingsBody, EmbeddingsReply } from "./embeddings.ts";
import type { RouterError } from "./errors.ts";
import type { DeclaredFacts, ModelFacts } from "./model.ts";

export { bearerTokens, readGrant, type Token } from "./bearer_tokens.ts";
export { defineProvider, type ProviderDeclaration, type SchemaOf } from "./define_provider.ts";
export type { DeclaredFacts, ModelFacts } from "./model.ts";
export type { Price } from "./prices/price.ts";
export type { DatedPrice, DeclaredPrice } from "./prices/tariff.ts";
export { type Body, countBody, isChat } from "./body.ts";
export type { Counted } from "./bounded_count.ts";
export type { ChatBody, ChatReply } from "./chat.ts";
export { type EmbeddingsBody, type EmbeddingsReply, textsOf } from "./embeddings.ts";
export { RouterError } from "./errors.ts";
export { secureUrl } from "./provider_settings.ts";
export { secret, setting, text } from "./settings.ts";
export { type Encoding, loadTokenizer, type Tokenizer } from "./tokens.ts";
export type { WireUsage } from "./usage_report.ts";

/** The way to one account of a vendor. */
export interface Wire<Settings = Record<string, unknown>> {
  /** The account's settings; the same object as long as the program runs. */
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

/** A model as a vendor's list describes it. */
export interface ListedModel {
  /** The vendor's id of it. */
  readonly id: string;
  /** Whatever else the vendor says of it. */
  readonly [field: string]: unknown;
}

/** A model that a vendor offers, with what its list says of it. */
export interface OfferedModel {
  /** The id by which clients name it. */
  readonly id: string;
  /** What it is for; what the provider's own table says wins. */
  readonly kind?: ModelFacts["kind"] | undefined;
}

/** What a vendor is asked for: a chat, embeddings, or how many tokens a text has. */
export type CallKind = "chat" | "embeddings" | "count";

/** One of a vendor's accounts. Calls are spread over all that a provider has. */
export interface Account<Settings = Record<string, unknown>> {
  /** Tells it apart in the log; no secret. */
  readonly name: string;
  /** What its calls sign in with. */
  readonly settings: Settings;
  /** The address that it is called at, where it has one of its own. */
  readonly baseUrl?: string | undefined;
  /** Calls that the vendor lets run at a time; without it there is no limit. */
  readonly parallel?: number | undefined;
  /** The kinds of calls that it counts among them; by default chats and embeddings. */
  readonly counted?: readonly CallKind[] | undefined;
}

/** What an account has left of something that was paid for. */
export interface Balance {
  /** What it is for, in the vendor's words, such as a model. */
  readonly name: string;
  /** How much there is. */
  readonly left: number;
  /** What is counted: `tokens`, or a currency such as `RUB`. */
  readonly unit: string;
}

/** One call that a client's request leads to. */
export interface Call<Settings = Record<string, unknown>> extends Wire<Settings> {
  /** The client's headers. */
  readonly clientHeaders: Headers;
  /** Id of the key that asks; absent where nobody has looked at the key. */
  readonly keyId: string | undefined;
  /** Fires when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
  /** Headers for the vendor beside those that authorize the call; `encode` may add its own. */
  readonly headers: Record<string, string>;
  /**
   * Says that a field asks for what the vendor cannot do. Returns when it is to be left out.
   *
   * @param field The field as OpenAI writes it: `messages[0].content`.
   * @param cure What is wrong with it and the cure, to follow the field's name.
   * @throws {RouterError} `invalid_request` where the policy is to refuse.
   */
  cannotKeep(field: string, cure: string): void;
  /** Says in `x-xrouter-changed` that a field was carried out in another way than it asks for. */
  changed(field: string): void;
}

/** Turns one vendor's answer into OpenAI's; a fresh one is made for each attempt. */
export interface Decoder {
  /**
   * Whether the client's answer is complete although the vendor goes on: the call is ended then.
   * Looked at after each event.
   */
  readonly ended?: boolean;
  /**
   * Whether the vendor has said that its answer is complete, other than by `[DONE]`. Looked at after
   * each event.
   */
  readonly done?: boolean;
  /**
   * One event of a stream, as the vendor sent it: the text after `data:`.
   *
   * @returns The events for the client; none to hold this one back.
   */
  event(data: string, name?: string): ChatReply[];
  /** A whole answer. */
  whole(json: unknown): ChatReply;
}

/**
 * One way to sign in: what the header `authorization` holds, such as `Bearer {apiKey}`, or what gets
 * a token for it. A setting stands in braces.
 */
export type SignIn = string | TokenRequest;

/** What is posted as JSON for a token, and answered as OAuth 2 lays down; texts may hold settings. */
export interface TokenRequest {
  /** The address that issues tokens. */
  readonly url: string;
  /** The fields. */
  readonly json: Readonly<Record<string, string>>;
}

/** How a vendor's embeddings differ from OpenAI's. */
export interface EmbeddingsWire<Settings = Record<string, unknown>> {
  /** The form of the URIs of models that make vectors, where it is not that of chats. */
  readonly modelUri?: string;
  /** The vendor knows neither `encoding_format` nor `dimensions`: XRouter does what they ask for. */
  readonly plain?: boolean;
  /** The vendor takes one text a call: a list is sent as several calls. */
  readonly single?: boolean;
  /** Translates a request; the default sends it unchanged. */
  encode?(body: EmbeddingsBody, call: Call<Settings>): unknown | Promise<unknown>;
  /** Translates an answer. The default takes it as it is. */
  decode?(json: unknown): EmbeddingsReply;
}

/** A vendor's store of files under `/files`, as far as it differs from OpenAI's. */
export interface FileApi {
  /** The purpose that every file has there; by default the client says it. */
  readonly purpose?: string;
  /**
   * The content type of a file by its bytes; by default what the client says.
   *
   * @throws {RouterError} `invalid_request` for what the vendor does not take.
   */
  contentType?(bytes: Uint8Array<ArrayBuffer>): string;
  /** How a file is deleted; by default `DELETE /files/{id}`. */
  deletion?(id: string): { method: string; path: string };
}

/** A provider. See the table in `providers/README.md` for what each member is for. */
export interface Provider<Settings extends z.ZodType = z.ZodType, Prepared = unknown> {
  /** Lower-case word, unique; the part before the slash in `vendor/model`. */
  readonly name: string;
  /**
   * The address that `/chat/completions` is appended to. `{NAME}_BASE_URL` overrides it. What runs
   * wherever its users like has none: it cannot be used before that is set, and its key is optional.
   */
  readonly baseUrl?: string | undefined;
  /** Secrets are sent to it by `https:` alone: an address without is refused at the start. */
  readonly requiresTls?: boolean;
  /** Its settings; the default is one, the secret `apiKey` from `{NAME}_API_KEY`. */
  readonly settings?: Settings;
  /** What is known of its models, by id. Those not named here work too. */
  readonly models?: Readonly<Record<string, DeclaredFacts>>;
  /**
   * The vendor bills no tokens that come from its cache: its models' prices, whoever sets them, have 0
   * for these where they do not say `cached`.
   */
  readonly freeCache?: boolean;
  /**
   * Seconds for which the vendor's cache keeps what it has read of a conversation. Where an answer ends
   * before its usage is reported, what the conversation has asked just before counts as cached.
   */
  cacheSeconds?(settings: z.output<Settings>): number | undefined;
  /**
   * The ways to sign in; the first whose settings are all set is taken. The default is one,
   * `Bearer {apiKey}`.
   */
  readonly signIn?: readonly SignIn[];
  /** Headers that each signed-in call has besides, by name; texts may hold settings in braces. */
  readonly headers?: Readonly<Record<string, string>>;
  /**
   * What keeps it from being used, as an instruction: `Set GIGACHAT_CREDENTIALS`. The default asks for
   * the settings that stand in `signIn`, `headers` and `modelUri`; for no `apiKey` where there is no
   * such setting, or the provider signs in by its own `authorize`.
   */
  missing?(settings: z.output<Settings>): string | undefined;
  /**
   * The form of the vendor's ids where these are URIs: `gpt://{folderId}/{model}/{version=latest}`.
   * `{model}` is what clients write, or with a `{version}` what stands before the first colon or slash
   * of that; other places are settings. A URI that clients write passes as it is. The vendor's list is
   * read by it, too: what has another form is left out, what holds other settings stays a URI. Where
   * embeddings have a form of their own, each says what its models are for.
   */
  readonly modelUri?: string;
  /** The names in force of models that have been renamed, by their old names. */
  readonly renamed?: Readonly<Record<string, string>>;
  /** What fields of a chat may hold, where the vendor knows less than OpenAI; the policy does the rest. */
  readonly accepts?: Readonly<Record<string, readonly string[]>>;
  /**
   * The id by which clients name a model of the vendor's list, which `modelUri` has been read from;
   * `undefined` leaves it out. The default takes all.
   */
  listed?(model: ListedModel, settings: z.output<Settings>): string | undefined;
  /** The models that the vendor offers now. The default reads `GET {baseUrl}/models`. */
  listModels?(wire: Wire<z.output<Settings>>): Promise<readonly (string | OfferedModel)[]>;
  /**
   * What an account has left, for operators: `xrouter providers --live` shows it. Without it nothing
   * is shown.
   *
   * @throws {RouterError} Where the vendor does not tell; the message says why.
   */
  balance?(wire: Wire<z.output<Settings>>): Promise<Balance[]>;
  /**
   * Headers that sign a call in, for what `signIn` cannot say.
   *
   * @param rejected The headers that the vendor has just answered with 401; get new ones.
   */
  authorize?(
    wire: Wire<z.output<Settings>>,
    rejected?: Readonly<Record<string, string>>,
  ): Record<string, string> | Promise<Record<string, string>>;
  /** The accounts that calls are spread over. The default is one, with no limit of calls. */
  accounts?(settings: z.output<Settings>): readonly Account<z.output<Settings>>[];
  /** Options of an account's HTTP client, such as the vendor's certificate authority. */
  httpClient?(settings: z.output<Settings>, baseUrl: string): Deno.CreateHttpClientOptions;
  /** The address of a chat request. The default is `{baseUrl}/chat/completions`. */
  chatUrl?(body: ChatBody, wire: Wire<z.output<Settings>>): string;
  /**
   * Says what a chat needs from elsewhere, such as images that it names by their addresses. That is got
   * before an account is taken for it: whoever is slow there keeps no call of the vendor's. Called once
   * a try.
   *
   * @returns What gets it; nothing where nothing is needed. Its signal fires when nobody waits any more;
   * its outcome is what `encode` gets at each account that is asked. It throws a {@linkcode RouterError},
   * `invalid_request` naming the field say, or the signal's reason.
   */
  prepare?(body: ChatBody): ((signal: AbortSignal) => Promise<Prepared>) | undefined;
  /**
   * Translates a request; the default sends it unchanged. It may ask for a stream (`stream: true`)
   * although the client wants a whole answer: that is gathered from the events.
   */
  encode?(
    body: ChatBody,
    call: Call<z.output<Settings>>,
    prepared?: Prepared,
  ): unknown | Promise<unknown>;
  /** Makes the translator of one answer; without it the answer's bytes pass untouched. */
  decoder?(body: ChatBody, call: Call<z.output<Settings>>): Decoder;
  /**
   * Whether a refused chat should be encoded and sent once more, because the refusal has taught the
   * provider how. Asked once a call; `encode` and `decoder` then get the same `call` again.
   */
  sendAgain?(refusal: RouterError, body: ChatBody, call: Call<z.output<Settings>>): boolean;
  /** How its embeddings differ from OpenAI's. */
  readonly embeddings?: EmbeddingsWire<z.output<Settings>>;
  /** Asks the vendor how many input tokens a request has; for vendors that can say. */
  countTokens?(body: Body, wire: Wire<z.output<Settings>>): Promise<number>;
  /** Names the refusal of a chat; `undefined` leaves it to the default, which goes by the status. */
  fault?(
    status: number,
    body: string,
    headers: Headers,
    call?: Call<z.output<Settings>>,
  ): RouterError | undefined;
  /**
   * When the client goes away: `cancel` ends the call, for vendors that stop billing then; `drain`
   * (the default) reads on, so that what is billed is also known.
   */
  readonly onAbort?: "drain" | "cancel";
  /** The vendor keeps files; `{}` where it does so as OpenAI does. */
  readonly files?: FileApi;
  /** Tidies an account up before the program ends. */
  close?(wire: Wire<z.output<Settings>>): Promise<void>;
  /** Answers inside this process instead of over the network. */
  fetch?(request: Request, settings: z.output<Settings>): Promise<Response>;
}
