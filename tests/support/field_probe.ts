/**
 * Sends requests through a whole XRouter to the fake GigaChat, by v1 and by v2, and tells what went
 * out and what came back.
 *
 * @module
 */
import type { ChatReply } from "../../core/chat.ts";
import type { UnsupportedPolicy } from "../../core/changes.ts";
import { readWholeStream } from "./event_stream.ts";
import { type FakeGigachat, type FakeRequest, startFakeGigachat } from "./fake_gigachat.ts";
import { callerOf } from "./file_callers.ts";
import { png } from "./files.ts";
import { foldEvents } from "./fold_events.ts";
import { startRouter, type TestRouter } from "./router.ts";

/** The chats of GigaChat. */
export type Version = "v1" | "v2";

/** Fields of a request. */
export type Fields = Record<string, unknown>;

/** What the fake model says, in either chat. */
export interface Saying {
  content?: string;
  /** v1 says the first of them. */
  calls?: readonly { name: string; arguments: unknown }[];
  reasoning?: string;
  /** GigaChat's word for the end. */
  finish?: string;
  /** Tokens of the question beside those of the cache, of the cache, and of the answer. */
  usage?: { prompt: number; cached: number; output: number };
  /** Seconds since 1970. */
  created?: number;
  /** Pages of a web search, by number; v2 alone has one. */
  sources?: Record<string, { url: string; title: string }>;
}

/** How a request is sent. */
export interface Way {
  readonly version: Version;
  readonly streamed: boolean;
  /** What becomes of fields that GigaChat cannot keep. */
  readonly policy: Exclude<UnsupportedPolicy, "drop">;
}

/** What one request led to. */
export interface Seen {
  readonly version: Version;
  readonly streamed: boolean;
  readonly status: number;
  /** What a refusal names, and says. */
  readonly error: { readonly param?: string; readonly message?: string } | undefined;
  /** The fields that `x-xrouter-changed` names. */
  readonly changed: readonly string[];
  /** The request as GigaChat got it; empty where none got there. */
  readonly sent: Fields;
  /** The fields of the request that say how to answer: v2 has them in an object of their own. */
  readonly options: Fields;
  /** Ids of the files that GigaChat has. */
  readonly files: ReadonlySet<string>;
  /** `X-Session-ID` as GigaChat got it. */
  readonly session: string | undefined;
  /** The answer; the events of a stream are put together. */
  readonly answer: ChatReply;
  /** What GigaChat answered: JSON, or the events of a stream. */
  readonly said: readonly Fields[];
  /** The events of a stream. */
  readonly events: readonly ChatReply[];
}

type Routers = Readonly<Record<Way["policy"], TestRouter>>;

/** Asks for another model than usual, of the same chat. */
export const otherModel = "gigachat/another";

const models: Readonly<Record<Version, { usual: string; other: string }>> = {
  v1: { usual: "GigaChat-2", other: "GigaChat-2-Pro" },
  v2: { usual: "GigaChat-2-Max", other: "GigaChat-3-Ultra" },
};

/** The fake, and two routers that differ in their policy. */
export class FieldProbe implements AsyncDisposable {
  readonly #fake: FakeGigachat;
  readonly #routers: Routers;
  /** Ids of a file that was uploaded to either router. */
  readonly fileIds: Readonly<Record<Way["policy"], string>>;

  private constructor(
    fake: FakeGigachat,
    routers: Routers,
    fileIds: FieldProbe["fileIds"],
  ) {
    this.#fake = fake;
    this.#routers = routers;
    this.fileIds = fileIds;
  }

  /** Starts all of it. */
  static async start(): Promise<FieldProbe> {
    const fake = await startFakeGigachat();
    const API_RATE_LIMIT = "100000";
    const start = (XROUTER_UNSUPPORTED: string) =>
      startRouter({
        ...fake.env,
        GIGACHAT_V2_MODELS: Object.values(models.v2).join(),
        API_RATE_LIMIT,
        XROUTER_UNSUPPORTED,
      });
    const routers = { refuse: await start("refuse"), warn: await start("warn") };
    const upload = async (router: TestRouter) => {
      const { json } = await callerOf(router, router.secret).upload(png("kept"), {
        purpose: "user_data",
      });
      return json.id as string;
    };
    const fileIds = { refuse: await upload(routers.refuse), warn: await upload(routers.warn) };
    return new FieldProbe(fake, routers, fileIds);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#routers.refuse[Symbol.asyncDispose]();
    await this.#routers.warn[Symbol.asyncDispose]();
    await this.#fake[Symbol.asyncDispose]();
  }

  /** Asks for embeddings. */
  async embed(fields: Fields): Promise<{ status: number; json: Fields; sent: Fields }> {
    const path = "/v1/embeddings";
    const before = this.#fake.requestsTo(path).length;
    const router = this.#routers.refuse;
    const { status, json } = await callerOf(router, router.secret)
      .call("POST", path, JSON.stringify(fields), "application/json");
    const sent = this.#fake.requestsTo(path).slice(before).at(-1);
    return { status, json, sent: (sent?.body ?? {}) as Fields };
  }

  /** Asks a question. */
  async ask(fields: Fields, saying: Saying | undefined, way: Way): Promise<Seen> {
    const { version, streamed, policy } = way;
    this.#say(saying);
    const path = `/${version}/chat/completions`;
    const before = this.#fake.requestsTo(path).length;
    const response = await this.#routers[policy].chat({
      messages: [{ role: "user", content: "Привет" }],
      ...(streamed && { stream: true }),
      ...fields,
      model: `gigachat/${models[version][fields.model === otherModel ? "other" : "usual"]}`,
    });
    const changed = response.headers.get("x-xrouter-changed")?.split(", ") ?? [];
    const { answer, events, error } = await read(response);
    const sent: FakeRequest | undefined = this.#fake.requestsTo(path).slice(before).at(-1);
    const body = (sent?.body ?? {}) as Fields;
    return {
      version,
      streamed,
      status: response.status,
      error,
      changed,
      sent: body,
      options: version === "v2" ? (body.model_options ?? {}) as Fields : body,
      files: new Set(this.#fake.files.stored.keys()),
      session: sent?.headers.get("x-session-id") ?? undefined,
      answer,
      said: (sent?.answers ?? []) as Fields[],
      events,
    };
  }

  #say(saying: Saying | undefined): void {
    const { calls, usage, sources, ...words } = saying ?? { content: "раз, два, три" };
    const call = calls?.[0];
    this.#fake.reply = () => ({
      ...words,
      ...(call && { functionCall: { ...call, stateId } }),
      ...(usage && {
        usage: {
          prompt_tokens: usage.prompt,
          completion_tokens: usage.output,
          precached_prompt_tokens: usage.cached,
        },
      }),
    });
    this.#fake.v2.reply = () => ({
      ...words,
      ...(calls && { calls, stateId }),
      ...(usage && { usage: { input: usage.prompt, cached: usage.cached, output: usage.output } }),
      ...(sources && { sources }),
    });
  }
}

/** What ties the model's calls to the answer that they came in. */
export const stateId = "77d3fb14-457a-46ba-937e-8d856156d003";

const none: ChatReply = { choices: [] };

async function read(response: Response): Promise<Pick<Seen, "answer" | "events" | "error">> {
  if (response.headers.get("content-type")?.startsWith("text/event-stream")) {
    const { events } = await readWholeStream(response);
    const failed = events.find(({ error }) => error !== undefined)?.error;
    return { answer: foldEvents(events), events, error: failed };
  }
  const json = await response.json();
  return json.error === undefined
    ? { answer: json, events: [], error: undefined }
    : { answer: none, events: [], error: json.error };
}
