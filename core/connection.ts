/**
 * The connection to one account of a vendor: what it is asked, and the answer as chunks.
 *
 * @module
 */
import { askEmbeddings } from "./ask_embeddings.ts";
import { type Body, isChat } from "./body.ts";
import { type ChatBody, type ChatReply, isWholeReply, saysFailed } from "./chat.ts";
import { Chunk } from "./chunk.ts";
import { codeLimits, inTime } from "./code_limits.ts";
import type { EmbeddingsBody } from "./embeddings.ts";
import { fitBody } from "./fit_body.ts";
import { gather } from "./gather.ts";
import { listedModel } from "./model_id.ts";
import type {
  Account,
  Balance,
  Call,
  CallKind,
  Decoder,
  ListedModel,
  OfferedModel,
  Provider,
  Wire,
} from "./provider.ts";
import { unlessAborted } from "./unless_aborted.ts";
import { readWhole } from "./read_whole.ts";
import { Upstream } from "./upstream.ts";
import { createRedact, VendorFaults } from "./vendor_faults.ts";
import { VendorHttp } from "./vendor_http.ts";
import { VendorModule } from "./vendor_module.ts";

/** What one attempt sends. */
export interface Sent
  extends Pick<Call, "clientHeaders" | "keyId" | "headers" | "signal" | "cannotKeep" | "changed"> {
  /** The body in OpenAI's shape; `model` is the vendor's id. */
  readonly body: Body;
  /** What the provider has prepared for a chat, whichever account is asked. */
  readonly prepared?: unknown;
  /** Told when a call is signed in and goes out. */
  readonly onSend?: (account: string) => void;
  /** Told when the vendor has not refused: its answer begins. */
  readonly onAnswer?: () => void;
  /** Told of the answer's first byte. */
  readonly onByte?: (() => void) | undefined;
  /** Told of each chunk of the answer as it comes, before anybody reads it. */
  readonly onChunk?: ((chunk: Chunk) => void) | undefined;
  /** Told of a whole answer that is of no use: the vendor wants to be paid for it all the same. */
  readonly onSpent?: ((reply: ChatReply) => void) | undefined;
}

/** Sends JSON, signed in. */
type Post = (url: string, body: unknown, accept: string) => Promise<Response>;

/** One account, ready to be called. */
export class Connection {
  readonly #provider: Provider;
  readonly #module: VendorModule;
  readonly #http: VendorHttp;
  readonly #faults: VendorFaults;
  /** Tells it apart in the log. */
  readonly name: string;
  /** Calls that may run at a time. */
  readonly parallel: number;
  readonly #counted: readonly CallKind[];

  /**
   * @param provider The provider as its file declares it.
   * @param account The account.
   * @param baseUrl The address in force, without a slash at its end.
   */
  constructor(provider: Provider, account: Account, baseUrl: string) {
    const { name, settings, parallel, counted } = account;
    this.#provider = provider;
    const redact = createRedact(provider, settings);
    this.#module = new VendorModule(provider, redact);
    this.#faults = new VendorFaults(provider, this.#module, redact);
    this.name = name;
    this.parallel = parallel ?? Infinity;
    this.#counted = counted ?? ["chat", "embeddings"];
    this.#http = new VendorHttp(provider, this.#module, this.#faults, { settings, baseUrl });
  }

  /** Whether calls of a kind are among those of which the account lets so many run. */
  counts(kind: CallKind): boolean {
    return this.#counted.includes(kind);
  }

  /** What the provider's methods get. */
  get wire(): Wire {
    return this.#http.wire;
  }

  /** The models that the vendor offers to the account now. */
  async listModels(signal: AbortSignal): Promise<OfferedModel[]> {
    if (this.#provider.listModels !== undefined) {
      const list: unknown = await unlessAborted(this.#provider.listModels(this.wire), signal);
      return (Array.isArray(list) ? list : [])
        .map((each) => typeof each === "string" ? { id: each } : each)
        .filter((each): each is OfferedModel => typeof each?.id === "string");
    }
    const response = await this.#http.signedIn(`${this.wire.baseUrl}/models`, { signal });
    if (!response.ok) throw await this.#faults.ofResponse(response);
    const list = await response.json() as { data?: Partial<ListedModel>[] } | null;
    return (Array.isArray(list?.data) ? list.data : [])
      .filter((model): model is ListedModel => typeof model?.id === "string")
      .flatMap((model) => this.#listed(model) ?? []);
  }

  /** A model of the list as clients name it; `undefined` for one that is no such model. */
  #listed(model: ListedModel): OfferedModel | undefined {
    const { settings } = this.wire;
    const named = listedModel(model.id, this.#provider, settings);
    if (named === undefined || this.#provider.listed === undefined) return named;
    const id = this.#provider.listed({ ...model, id: named.id }, settings);
    return id === undefined ? undefined : { ...named, id };
  }

  /** Strikes the account's secrets out of the vendor's words. */
  get redact(): (text: string) => string {
    return this.#faults.redact;
  }

  /** What the account has left; `undefined` where the provider cannot ask. */
  async balance(signal: AbortSignal): Promise<Balance[] | undefined> {
    return await unlessAborted(Promise.resolve(this.#provider.balance?.(this.wire)), signal);
  }

  /**
   * Asks the vendor and waits for the first chunk of the answer.
   *
   * @param onEnd Told once the vendor's answer is over: read to its end, broken or ended from here;
   * not when this rejects.
   * @throws {RouterError} What the refusal or failure means; the signal's reason when it was aborted.
   */
  async open(sent: Sent, onEnd: () => void): Promise<Upstream> {
    try {
      return await this.#open(sent, onEnd);
    } catch (error) {
      throw this.#faults.ofNetwork(error, sent.signal);
    }
  }

  async #open(
    { body, prepared, onSend, onAnswer, onByte, onChunk, onSpent, ...sent }: Sent,
    onEnd: () => void,
  ): Promise<Upstream> {
    const call: Call = { ...sent, ...this.#http.sideCalls, headers: { ...sent.headers } };
    const post = async (url: string, encoded: unknown, accept: string) => {
      const response = await this.#http.signedIn(url, {
        method: "POST",
        headers: { "content-type": "application/json", accept, ...call.headers },
        body: this.#module.toJson(encoded, call.headers),
        signal: call.signal,
      }, onSend && (() => onSend(this.name)));
      if (response.ok) onAnswer?.();
      return response;
    };
    const fitted = fitBody(body, this.#provider, call);
    return isChat(fitted)
      ? await this.#openChat(fitted, call, post, { prepared, onEnd, onByte, onChunk, onSpent })
      : await this.#openEmbeddings(fitted, call, post, { onEnd, onChunk, onSpent });
  }

  async #openChat(
    body: ChatBody,
    call: Call,
    post: Post,
    { prepared, onEnd, onByte, onChunk, onSpent }:
      & Pick<Sent, "prepared" | "onByte" | "onChunk" | "onSpent">
      & { onEnd: () => void },
  ): Promise<Upstream> {
    const { signal } = call;
    const { response, choices } = await this.#sendChat(body, call, post, prepared);
    let upstream: Upstream | undefined;
    let reply: ChatReply | undefined;
    try {
      const decoder = this.#module.decoder(body, call);
      if (/^text\/event-stream\b/i.test(response.headers.get("content-type") ?? "")) {
        upstream = Upstream.stream(response, {
          choices,
          decoder,
          parsed: !body.stream,
          signal,
          redact: this.#faults.redact,
          onChunk,
          onEnd,
        });
        if (!body.stream) {
          const gathered = this.#checked(await gather(upstream));
          upstream = Upstream.whole(Chunk.fromJson(gathered, true), false);
        }
      } else {
        const { bytes, json } = await this.#readReply(response);
        reply = json;
        const chunk = this.#toChunk(bytes, json, decoder);
        upstream = Upstream.whole(chunk, body.stream === true, onChunk);
        onEnd();
      }
      await upstream.begin(onByte);
      return upstream;
    } catch (error) {
      // A refusal with the status of an answer is no answer.
      if (reply && !upstream && (isWholeReply(reply) || reply.usage)) onSpent?.(reply);
      // Not waited for: a provider inside this process may never heed it.
      (upstream ?? response.body)?.cancel().catch(() => {});
      throw error;
    }
  }

  /** Sends a chat, and after a refusal once more where the provider has learned from it. */
  async #sendChat(
    body: ChatBody,
    call: Call,
    post: Post,
    prepared: unknown,
    again = true,
  ): Promise<{ response: Response; choices: number }> {
    const encoded = await this.#module.encode(body, call, prepared);
    // What is sent decides: a provider may have whole answers streamed, or give fewer alternatives.
    const { stream = body.stream, n } = Object(encoded);
    const accept = stream ? "text/event-stream" : "application/json";
    const response = await post(this.#module.chatUrl(body, this.wire), encoded, accept);
    if (response.ok) return { response, choices: n ?? 1 };
    const refusal = await this.#faults.ofResponse(response, call);
    if (again && this.#module.sendAgain(refusal, body, call)) {
      return this.#sendChat(body, call, post, prepared, false);
    }
    throw refusal;
  }

  async #openEmbeddings(
    body: EmbeddingsBody,
    call: Call,
    post: Post,
    { onEnd, onChunk, onSpent }: Pick<Sent, "onChunk" | "onSpent"> & { onEnd: () => void },
  ): Promise<Upstream> {
    const send = async (sent: unknown) => {
      const response = await post(`${call.baseUrl}/embeddings`, sent, "application/json");
      if (!response.ok) throw await this.#faults.ofResponse(response);
      return await this.#readReply(response);
    };
    const chunk = await askEmbeddings(body, this.#module.embeddings, call, send, onSpent);
    onEnd();
    const upstream = Upstream.whole(chunk, false, onChunk);
    await upstream.begin();
    return upstream;
  }

  /**
   * Calls a path under the account's address, signed in.
   *
   * @throws {RouterError} `upstream_unavailable` when nobody answers.
   */
  async send(path: string, init: RequestInit & { signal: AbortSignal }): Promise<Response> {
    try {
      return await this.#http.signedIn(`${this.wire.baseUrl}${path}`, init);
    } catch (error) {
      throw this.#faults.ofNetwork(error, init.signal);
    }
  }

  /** Lets the provider tidy the account up, for so long, and closes the HTTP client. */
  async close(): Promise<void> {
    try {
      const tidied = this.#provider.close?.(this.wire);
      if (tidied !== undefined) await inTime(tidied, codeLimits.dispose);
    } finally {
      this.#http.close();
    }
  }

  /** A chat's answer that is one JSON body. */
  #toChunk(bytes: Uint8Array, json: ChatReply, decoder: Decoder | undefined): Chunk {
    const reply = this.#checked(decoder === undefined ? json : decoder.whole(json));
    return decoder === undefined
      ? Chunk.fromBytes(bytes, true, reply)
      : Chunk.fromJson(reply, true);
  }

  #checked(reply: ChatReply): ChatReply {
    if (!isWholeReply(reply)) throw this.#faults.unexpected("a chat completion");
    if (saysFailed(reply)) {
      throw this.#faults.unexpected("a whole answer", JSON.stringify(reply).slice(0, 500));
    }
    return reply;
  }

  async #readReply(response: Response): Promise<{ bytes: Uint8Array; json: ChatReply }> {
    const { bytes, json } = await readWhole(response);
    if (json === undefined) {
      const type = response.headers.get("content-type");
      throw this.#faults.unexpected("a JSON object", `content-type ${type}`);
    }
    if (json.error && !Array.isArray(json.choices)) {
      throw this.#faults.of(response.status, JSON.stringify(json), response.headers);
    }
    return { bytes, json };
  }
}
