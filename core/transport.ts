/**
 * The way to one provider: its settings, its HTTP client, its sign-in, and the answer as chunks.
 *
 * @module
 */
import { z } from "zod";
import type { ChatBody } from "./chat.ts";
import { Chunk } from "./chunk.ts";
import { RouterError } from "./errors.ts";
import { faultByStatus } from "./fault.ts";
import type { DeclaredFacts } from "./model.ts";
import type { Decoder, Provider, Wire } from "./provider.ts";
import { defaultSettings, variableOf } from "./provider_settings.ts";
import { type Problem, readSettings, settingsOf, withoutSecrets } from "./settings.ts";
import { unlessAborted } from "./unless_aborted.ts";
import { readWhole, Upstream } from "./upstream.ts";

/** Milliseconds for a provider's side calls, such as signing in. */
const sideCallTimeout = 20_000;

/** The most of an error body that is read. */
const maxErrorBytes = 64 * 1024;

const userAgent = "xrouter";

/** What one attempt sends. */
export interface Call {
  /** The body in OpenAI's shape; `model` is the vendor's id. */
  readonly body: ChatBody;
  /** Headers beside those that authorize. */
  readonly headers: Readonly<Record<string, string>>;
  /** Ends the call; its reason is what the call rejects with. */
  readonly signal: AbortSignal;
}

/** One provider, ready to be called. */
export class Transport {
  readonly #provider: Provider;
  readonly #settings: Record<string, unknown>;
  readonly #client: Deno.HttpClient | undefined;
  readonly #wire: Wire;
  /** The address in force, without a slash at its end. */
  readonly baseUrl: string;
  /** What must be set before the provider can be used; `undefined` when it can. */
  readonly missing: string | undefined;

  private constructor(provider: Provider, settings: Record<string, unknown>, baseUrl: string) {
    this.#provider = provider;
    this.#settings = settings;
    this.baseUrl = baseUrl.replace(/\/+$/, "");
    this.missing = provider.missing !== undefined
      ? provider.missing(settings)
      : provider.authorize !== undefined || !settingsOf(this.schema).has("apiKey") ||
          settings.apiKey
      ? undefined
      : `Set ${variableOf(provider.name, "API_KEY")}`;
    const options = provider.httpClient?.(settings, this.baseUrl);
    this.#client = options && Deno.createHttpClient(options);
    this.#wire = this.#makeWire();
  }

  /**
   * Reads a provider's settings and opens its HTTP client.
   *
   * @param provider The provider as its file declares it.
   * @param sources The environment, and the provider's section of the configuration file.
   * @returns The transport, or every problem of its settings.
   */
  static connect(
    provider: Provider,
    sources: { env: Readonly<Record<string, string | undefined>>; file: unknown },
  ): { transport: Transport; problems: [] } | { transport?: undefined; problems: Problem[] } {
    const variable = variableOf(provider.name, "BASE_URL");
    const address = (sources.env[variable] ?? "").trim() || provider.baseUrl;
    const problems: Problem[] = [];
    if (!/^https?:$/.test(URL.parse(address)?.protocol ?? "")) {
      problems.push({ at: variable, message: "must be a URL such as https://api.example.com/v1" });
    } else if (new URL(address).username !== "" || new URL(address).password !== "") {
      problems.push({ at: variable, message: "must not hold a user or a password" });
    }
    const read = readSettings(provider.settings ?? defaultSettings(provider), {
      ...sources,
      at: `providers["${provider.name}"]`,
    });
    problems.push(...read.problems);
    if (read.value === undefined || problems.length > 0) return { problems };
    try {
      const settings = read.value as Record<string, unknown>;
      return { transport: new Transport(provider, settings, address), problems: [] };
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const message = `"missing" or "httpClient" throws: ${reason}`;
      return { problems: [{ at: `provider "${provider.name}"`, message }] };
    }
  }

  /** The provider's name. */
  get name(): string {
    return this.#provider.name;
  }

  /** What the provider's file says of its models. */
  get models(): Readonly<Record<string, DeclaredFacts>> {
    return this.#provider.models ?? {};
  }

  /** The schema of its settings. */
  get schema(): z.ZodType {
    return this.#provider.settings ?? defaultSettings(this.#provider);
  }

  /** It answers inside this process, without a vendor. */
  get local(): boolean {
    return this.#provider.fetch !== undefined;
  }

  /** What to do with a call whose client has gone. */
  get onAbort(): "drain" | "cancel" {
    return this.#provider.onAbort ?? "drain";
  }

  /**
   * Calls the vendor's address without signing in; any answer shows that it can be reached.
   *
   * @returns The answer's headers.
   * @throws {TypeError} when name, connection or certificate fails; the signal's reason.
   */
  async reach(signal: AbortSignal): Promise<Headers> {
    const response = await this.#fetch(this.baseUrl, { redirect: "manual", signal });
    await response.body?.cancel();
    return response.headers;
  }

  /** Ids of the models that the vendor offers now. @throws The signal's reason, once it fires. */
  async listModels(signal: AbortSignal): Promise<string[]> {
    if (this.#provider.listModels !== undefined) {
      const ids: unknown = await unlessAborted(this.#provider.listModels(this.#wire), signal);
      return Array.isArray(ids) ? ids.filter((id) => typeof id === "string") : [];
    }
    if (this.#provider.fetch !== undefined) return Object.keys(this.models);
    const response = await this.#signedIn(`${this.baseUrl}/models`, { signal });
    if (!response.ok) throw await this.#fault(response);
    const list = await response.json() as { data?: { id?: unknown }[] } | null;
    return (Array.isArray(list?.data) ? list.data : [])
      .map((model) => model?.id)
      .filter((id): id is string => typeof id === "string");
  }

  /**
   * Asks for a chat completion and waits for the first chunk of the answer.
   *
   * @throws {RouterError} What the provider's refusal or failure means; the signal's reason when it
   * was aborted.
   */
  async open(call: Call): Promise<Upstream> {
    const encoded = await this.#provider.encode?.(call.body, this.#wire) ?? call.body;
    const stream = call.body.stream === true;
    let response: Response;
    try {
      response = await this.#signedIn(`${this.baseUrl}/chat/completions`, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          accept: stream ? "text/event-stream" : "application/json",
          ...call.headers,
        },
        body: JSON.stringify(encoded),
        signal: call.signal,
      });
    } catch (error) {
      throw this.#networkFault(error, call.signal);
    }
    let upstream: Upstream | undefined;
    try {
      if (!response.ok) throw await this.#fault(response);
      const decoder = this.#provider.decoder?.(call.body);
      const isStream = /^text\/event-stream\b/i.test(response.headers.get("content-type") ?? "");
      upstream = stream && isStream
        ? Upstream.stream(response, { decoder, signal: call.signal, redact: this.#redact })
        : Upstream.whole(await this.#readReply(response, decoder), stream);
      await upstream.begin();
      return upstream;
    } catch (error) {
      await (upstream ?? response.body)?.cancel().catch(() => {});
      throw this.#networkFault(error, call.signal);
    }
  }

  /** Closes the HTTP client. */
  close(): void {
    this.#client?.close();
  }

  /** An answer that is one JSON body. */
  async #readReply(response: Response, decoder: Decoder | undefined): Promise<Chunk> {
    const { bytes, json } = await readWhole(response);
    if (json === undefined) {
      throw new RouterError(
        "upstream_unavailable",
        `Provider "${this.name}" answered with something that is not a JSON object`,
        { detail: `content-type ${response.headers.get("content-type")}` },
      );
    }
    if (json.error && !Array.isArray(json.choices)) {
      throw this.#faultOf(response.status, JSON.stringify(json), response.headers);
    }
    const reply = decoder === undefined ? json : decoder.whole(json);
    if (!Array.isArray(reply?.choices) || reply.choices.some((choice) => !isObject(choice))) {
      throw new RouterError(
        "upstream_unavailable",
        `Provider "${this.name}" answered with something that is not a chat completion`,
      );
    }
    return decoder === undefined
      ? Chunk.fromBytes(bytes, true, reply)
      : Chunk.fromJson(reply, true);
  }

  /** A call with the provider's sign-in; a 401 refreshes the sign-in once. */
  async #signedIn(url: string, init: RequestInit): Promise<Response> {
    const signIn = await this.#authorize(init.signal);
    const response = await this.#fetch(url, init, signIn);
    if (response.status !== 401 || this.#provider.authorize === undefined) return response;
    await response.body?.cancel();
    return await this.#fetch(url, init, await this.#authorize(init.signal, signIn));
  }

  #authorize(
    signal: AbortSignal | null | undefined,
    rejected?: Readonly<Record<string, string>>,
  ): Record<string, string> | Promise<Record<string, string>> {
    if (this.#provider.authorize !== undefined) {
      const headers = this.#provider.authorize(this.#wire, rejected);
      return headers instanceof Promise && signal ? unlessAborted(headers, signal) : headers;
    }
    const { apiKey } = this.#settings;
    return typeof apiKey === "string" ? { authorization: `Bearer ${apiKey}` } : {};
  }

  #fetch(url: string, init: RequestInit, signIn: Record<string, string> = {}): Promise<Response> {
    const headers = {
      "user-agent": userAgent,
      ...init.headers as Record<string, string> | undefined,
      ...signIn,
    };
    // A redirect is answered like any refusal: followed, it would carry the credentials elsewhere.
    const full: RequestInit = { redirect: "manual", ...init, headers };
    if (this.#provider.fetch !== undefined) {
      return this.#provider.fetch(new Request(url, full), this.#settings);
    }
    return fetch(url, this.#client === undefined ? full : { ...full, client: this.#client });
  }

  #makeWire(): Wire {
    const deadline = (init?: RequestInit): RequestInit => ({
      signal: AbortSignal.timeout(sideCallTimeout),
      ...init,
    });
    return {
      settings: this.#settings,
      baseUrl: this.baseUrl,
      fetch: (url, init) => this.#fetch(url, deadline(init)),
      send: (path, init) => this.#signedIn(`${this.baseUrl}${path}`, deadline(init)),
    };
  }

  async #fault(response: Response): Promise<RouterError> {
    const { bytes } = await readWhole(response, maxErrorBytes);
    return this.#faultOf(response.status, new TextDecoder().decode(bytes), response.headers);
  }

  /** Some vendors repeat the key that they refuse, and their words reach the log and the client. */
  readonly #redact = (text: string): string => withoutSecrets(text, this.schema, this.#settings);

  #faultOf(status: number, body: string, headers: Headers): RouterError {
    const said = this.#redact(body);
    return this.#provider.fault?.(status, said, headers) ??
      faultByStatus(this.name, status, said, headers);
  }

  /** What a failed connection or a broken body means. */
  #networkFault(error: unknown, signal: AbortSignal): RouterError {
    if (error instanceof RouterError) return error;
    if (signal.aborted && signal.reason instanceof RouterError) return signal.reason;
    const reason = error instanceof Error ? error.message : String(error);
    const cause = error instanceof Error && error.cause instanceof Error
      ? `: ${error.cause.message}`
      : "";
    return new RouterError("upstream_unavailable", `Provider "${this.name}" cannot be reached`, {
      detail: this.#redact(`${reason}${cause}`),
    });
  }
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null;
}
