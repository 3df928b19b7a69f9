/**
 * A GigaChat of our own: OAuth, models, files and chat completions over TLS, as strict as the real one.
 *
 * Written from the published OpenAPI file and from recorded traffic. What it refuses stands in
 * `fake_gigachat_rules.ts`, what its answers look like in `fake_gigachat_answer.ts`, its sign-in in
 * `fake_gigachat_oauth.ts`, its files in `fake_gigachat_files.ts`, its faults in
 * `fake_gigachat_fault.ts`.
 *
 * @example
 * ```ts ignore
 * await using fake = await startFakeGigachat();
 * fake.reply = () => ({ content: "Привет!" });
 * fake.failNext("chat", { status: 429 });
 * const { transport } = Transport.connect(gigachat, { env: fake.env, file: {} });
 * ```
 */
import {
  defaultReply,
  type Exchange,
  type FakeReply,
  heard,
  modelList,
  realHabits,
  realModels,
  streamBytes,
  type StreamEnd,
  streamEvents,
  type StreamHabits,
  tokensOf,
  wholeAnswer,
} from "./fake_gigachat_answer.ts";
import { Contract, fieldsOf } from "./fake_gigachat_contract.ts";
import { answerEmbeddings } from "./fake_gigachat_embeddings.ts";
import { type FakeFault, faultResponse, forbidden, refuse } from "./fake_gigachat_fault.ts";
import { FakeFiles } from "./fake_gigachat_files.ts";
import { type FakeAccount, FakeOauth } from "./fake_gigachat_oauth.ts";
import { checkChat, type FakeChat } from "./fake_gigachat_rules.ts";
import { FakeCache, FakeStreams } from "./fake_gigachat_streams.ts";
import { answerChatV2, FakeV2 } from "./fake_gigachat_v2.ts";
import type { FakeChatV2 } from "./fake_gigachat_v2_rules.ts";

export type { FakeReply } from "./fake_gigachat_answer.ts";
export type { FakeFault } from "./fake_gigachat_fault.ts";
export type { FakeChat } from "./fake_gigachat_rules.ts";

const fixtures = `${import.meta.dirname}/../fixtures/gigachat`;

/** One request as the fake saw it. */
export interface FakeRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Headers;
  /** Parsed JSON, or the text of a form. */
  readonly body: unknown;
  /** The answer's status; 0 while there is none. */
  status: number;
  /** What was answered: JSON, or the events of a stream. */
  readonly answers: unknown[];
  /** How the answer ended: `sent` to its last byte, `broken` by the fake, or by the client. */
  readonly end: Promise<StreamEnd>;
}

type Place =
  | "oauth"
  | "token"
  | "models"
  | "balance"
  | "count"
  | "embeddings"
  | "files"
  | "chat";

/** Starts a fake on 127.0.0.1. Close it after the transports that use it. */
export function startFakeGigachat(options: Partial<FakeAccount> = {}): Promise<FakeGigachat> {
  return FakeGigachat.start(options);
}

/** A running fake. Its public fields may be changed at any time. */
export class FakeGigachat implements AsyncDisposable {
  /** What the model says. */
  reply: (chat: FakeChat) => FakeReply | Promise<FakeReply> = defaultReply;
  /** What is v2's own. */
  readonly v2 = new FakeV2();
  /** How streams look. */
  habits: StreamHabits = { ...realHabits };
  /** How many chats may run at once; GigaChat gives a personal key 1 and a company's 10. */
  streams = Infinity;
  /** What counts as a chat beside chats. */
  counted: Place[] = [];
  /** What `/v1/models` lists; a chat with another id is a 404. */
  models = [...realModels];
  /** Every request that came, oldest first. */
  readonly requests: FakeRequest[] = [];
  /** Ids in `/v1/models` as they are, in place of all that else stands there. */
  modelEntries: unknown[] | undefined;
  /** Holds what is said to the published OpenAPI file. */
  readonly contract = new Contract();
  /** Whether disposing rejects where that file was broken. */
  held = true;
  /** The chats that run. */
  readonly running = new FakeStreams();
  readonly #cache = new FakeCache();
  readonly #faulty = new WeakSet<Response>();
  readonly #oauth: FakeOauth;
  readonly #faults: Record<Place, FakeFault[]> = {
    oauth: [],
    token: [],
    models: [],
    balance: [],
    count: [],
    embeddings: [],
    files: [],
    chat: [],
  };
  /** Its store of files. */
  readonly files = new FakeFiles();
  readonly #stop = new AbortController();
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  private constructor(account: FakeAccount, cert: string, key: string) {
    this.#oauth = new FakeOauth(account);
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, cert, key, signal: this.#stop.signal, onListen() {} },
      (request) => this.#serve(request),
    );
  }

  static async start(options: Partial<FakeAccount>): Promise<FakeGigachat> {
    const account = { ...usualAccount, ...options };
    const [cert, key] = await Promise.all([
      Deno.readTextFile(`${fixtures}/test_server.pem`),
      Deno.readTextFile(`${fixtures}/test_server_key.pem`),
    ]);
    return new FakeGigachat(account, cert, key);
  }

  /** The port it listens on. */
  get port(): number {
    return this.#server.addr.port;
  }

  /** The environment variables that lead XRouter here. */
  get env(): Record<string, string> {
    const origin = `https://127.0.0.1:${this.port}`;
    return {
      GIGACHAT_CREDENTIALS: this.account.credentials,
      GIGACHAT_SCOPE: this.account.scope,
      GIGACHAT_AUTH_URL: `${origin}/api/v2/oauth`,
      GIGACHAT_BASE_URL: `${origin}/v1`,
      GIGACHAT_CA_BUNDLE_FILE: `${fixtures}/test_ca.pem`,
    };
  }

  /** Key, scope and tokens, all of them changeable. */
  get account(): FakeAccount {
    return this.#oauth.accounts[0];
  }

  /** Opens one more account. */
  addAccount(options: Partial<FakeAccount>): FakeAccount {
    const account = { ...usualAccount, ...options };
    this.#oauth.accounts.push(account);
    return account;
  }

  /** A token that was got elsewhere. */
  issueToken(): string {
    return this.#oauth.issueTo(this.account);
  }

  /** How many tokens were issued. */
  get tokensIssued(): number {
    return this.#oauth.issued;
  }

  /** Lets every token end now, so that the next call with one is a 401. */
  expireTokens(): void {
    this.#oauth.expireTokens();
  }

  /** The requests to a path, such as `/v1/chat/completions`. */
  requestsTo(path: string): FakeRequest[] {
    return this.requests.filter((request) => request.path === path);
  }

  /** The bodies of the chats, oldest first. */
  get chats(): FakeChat[] {
    return this.requestsTo("/v1/chat/completions").map(({ body }) => body as FakeChat);
  }

  /** The bodies of the chats by v2, oldest first. */
  get chatsV2(): FakeChatV2[] {
    return this.requestsTo("/v2/chat/completions").map(({ body }) => body as FakeChatV2);
  }

  /** Answers the next calls of a kind with these faults, one each. */
  failNext(place: Place, ...faults: FakeFault[]): void {
    this.#faults[place].push(...faults);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#server.finished;
    if (!this.held) return;
    try {
      this.contract.verify();
    } catch (error) {
      // A test that failed before would hide it.
      console.error((error as Error).message);
      throw error;
    }
  }

  async #serve(request: Request): Promise<Response> {
    const { pathname: path } = new URL(request.url);
    const bytes = await request.bytes();
    const text = isForm(request)
      ? `a form of ${bytes.length} bytes`
      : new TextDecoder().decode(bytes);
    const { promise: end, resolve } = Promise.withResolvers<StreamEnd>();
    const record = {
      method: request.method,
      path,
      headers: new Headers(request.headers),
      answers: [] as unknown[],
      end,
      status: 0,
    };
    const body = parse(text);
    this.requests.push(Object.assign(record, { body }));
    request.signal.addEventListener("abort", () => resolve("aborted"));
    const exchange = { ended: resolve, answers: record.answers };
    const response = await this.#route(request, path, text, bytes, exchange);
    record.status = response.status;
    if (this.#faulty.has(response)) {
      // It breaks the file on purpose.
    } else if (isStream(response)) this.contract.check(record, body, undefined);
    else {
      const answer = parse(await response.clone().text());
      record.answers.push(answer);
      this.contract.check(record, await fieldsOf(request, bytes, body), answer);
    }
    if (!isStream(response)) resolve("sent");
    return response;
  }

  async #route(
    request: Request,
    path: string,
    text: string,
    bytes: Uint8Array<ArrayBuffer>,
    { ended, answers }: Exchange,
  ): Promise<Response> {
    const place = path.startsWith("/v1/files") ? "files" : places[`${request.method} ${path}`];
    const fault = place && this.#faults[place].shift();
    if (fault !== undefined) return await this.#fail(fault, request.signal);
    if (place === undefined) return forbidden();
    if (place === "oauth") return this.#oauth.answer(request, text);
    if (place === "token") return this.#oauth.answerUser(request, text);
    const account = this.#oauth.caller(request.headers);
    if (typeof account === "string") return refuse(401, account);
    if (place === "balance") {
      const { balance } = account;
      return balance === undefined ? refuse(403, "Permission denied") : Response.json({ balance });
    }
    if (place === "models") {
      const data = this.modelEntries;
      return Response.json(data ? { object: "list", data } : modelList(this.models));
    }
    if (place === "files") {
      return await this.files.answer(request, path, bytes) ?? forbidden();
    }
    if (place === "count" || place === "embeddings") {
      const isCounted = this.counted.includes(place);
      if (isCounted && !this.running.begin(account, account.streams ?? this.streams)) {
        return refuse(429, "Too many requests");
      }
      // As long as it takes: others come meanwhile.
      if (isCounted) await new Promise((resolve) => setTimeout(resolve, 5));
      if (isCounted) this.running.end(account);
      return place === "count" ? answerCount(parse(text)) : answerEmbeddings(parse(text));
    }
    if (account.refuses !== undefined) return await this.#fail(account.refuses, request.signal);
    if (!this.running.begin(account, account.streams ?? this.streams)) {
      return refuse(429, "Too many requests");
    }
    let streaming = false;
    try {
      const end = (how: StreamEnd) => {
        this.running.end(account);
        ended(how);
      };
      const response = path.startsWith("/v2/")
        ? await answerChatV2(parse(text), this, request.headers, { ended: end, answers })
        : await this.#chat(parse(text), request.headers, { ended: end, answers });
      streaming = isStream(response);
      return response;
    } finally {
      if (!streaming) this.running.end(account);
    }
  }

  async #fail(fault: FakeFault, signal: AbortSignal): Promise<Response> {
    const response = await faultResponse(fault, signal);
    this.#faulty.add(response);
    return response;
  }

  async #chat(
    body: unknown,
    requestHeaders: Headers,
    { ended, answers }: Exchange,
  ): Promise<Response> {
    const refusal = checkChat(body);
    if (refusal !== undefined) return refuse(refusal.status, refusal.message);
    const chat = body as FakeChat;
    if (!this.models.includes(chat.model)) return refuse(404, "No such model");
    const lost = this.files.refusal(chat, requestHeaders.get("x-client-id"));
    if (lost !== undefined) return refuse(lost.status, lost.message);
    const reply = await this.reply(chat);
    const prompt = JSON.stringify([chat.functions ?? [], chat.messages]);
    const session = requestHeaders.get("x-session-id") ?? crypto.randomUUID();
    // A few tokens stand at the beginning of every prompt.
    const cachedTokens = Math.max(2, tokensOf(prompt.slice(0, this.#cache.reuse(session, prompt))));
    const head = {
      model: `${chat.model}:2.0.28.2`,
      promptTokens: tokensOf(prompt) - cachedTokens,
      cachedTokens,
    };
    const headers = {
      "x-request-id": requestHeaders.get("x-request-id") ?? crypto.randomUUID(),
      "x-session-id": session,
    };
    if (chat.stream !== true) return Response.json(await wholeAnswer(reply, head), { headers });
    const events = heard(streamEvents(reply, head), (event) => {
      this.contract.event(event);
      answers.push(JSON.parse(event));
    });
    const bytes = streamBytes(events, { ...this.habits }, ended);
    return new Response(bytes, { headers: { ...headers, "content-type": "text/event-stream" } });
  }
}

const usualAccount: FakeAccount = {
  credentials: btoa("fake-client:fake-secret"),
  scope: "GIGACHAT_API_PERS",
  tokenLifetimeMs: 30 * 60_000,
  tokenShape: "milliseconds",
};

const places: Readonly<Record<string, Place>> = {
  "POST /api/v2/oauth": "oauth",
  "POST /v1/token": "token",
  "GET /v1/balance": "balance",
  "GET /v1/models": "models",
  "POST /v1/chat/completions": "chat",
  "POST /v2/chat/completions": "chat",
  "POST /v1/embeddings": "embeddings",
  "POST /v1/tokens/count": "count",
};

/** Counts texts, and nothing else. */
function answerCount(body: unknown): Response {
  const { model, input } = (body ?? {}) as { model?: unknown; input?: unknown };
  const isList = Array.isArray(input) && input.every((text) => typeof text === "string");
  if (typeof model !== "string" || !isList) {
    return refuse(400, "Your request contains invalid JSON syntax.");
  }
  return Response.json(input.map((text: string) => ({
    object: "tokens",
    tokens: tokensOf(text),
    characters: text.length,
  })));
}

function isForm({ headers }: Request): boolean {
  return headers.get("content-type")?.startsWith("multipart/form-data") ?? false;
}

function isStream(response: Response): boolean {
  return response.headers.get("content-type") === "text/event-stream";
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
