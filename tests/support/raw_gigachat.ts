/**
 * A GigaChat that answers with the very bytes of fixtures, and keeps those that it is asked with.
 * It checks nothing: see `fake_gigachat.ts` for one that does.
 *
 * @module
 */
import { assertEquals } from "@std/assert";

const fixtures = new URL("../fixtures/gigachat/", import.meta.url);

type Bytes = Uint8Array<ArrayBuffer>;

/** An answer as it stands in a file: the bytes of HTTP. */
export interface HttpFixture {
  readonly bytes: Bytes;
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
}

/** A request as it came. */
export interface RawRequest {
  /** Method and path: `POST /v1/chat/completions`. */
  readonly line: string;
  readonly headers: Headers;
  readonly body: string;
}

/** The names of a folder's fixtures, without their endings, sorted. */
export function namesIn(folder: string): string[] {
  const entries = [...Deno.readDirSync(new URL(folder, fixtures))];
  return entries.map(({ name }) => name.replace(/\.\w+$/, "")).sort();
}

/** Reads a fixture of the folder, `errors/429.http`; its length must be what its head says. */
export function readHttp(path: string): HttpFixture {
  const bytes = Deno.readFileSync(new URL(path, fixtures));
  const { start, headers, end } = headOf(bytes)!;
  const body = bytes.subarray(end);
  assertEquals(headers.get("content-length"), String(body.length), path);
  return { bytes, status: Number(start[1]), headers, body: new TextDecoder().decode(body) };
}

/** Reads a fixture of JSON. */
export function readJson<Fixture>(path: string): Fixture {
  return JSON.parse(Deno.readTextFileSync(new URL(path, fixtures)));
}

/** An answer of a chat: `answers/words.json` as the bytes of HTTP. */
export function spokenWords(): Bytes {
  const body = Deno.readFileSync(new URL("answers/words.json", fixtures));
  const head =
    `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`;
  return new Uint8Array([...new TextEncoder().encode(head), ...body]);
}

/** A running server. Close it after the transports that use it. */
export class RawGigachat implements AsyncDisposable {
  /** Every request that came, oldest first. */
  readonly requests: RawRequest[] = [];
  readonly #answers: Readonly<Record<string, readonly Bytes[]>>;
  readonly #listener = Deno.listenTls({
    hostname: "127.0.0.1",
    port: 0,
    cert: Deno.readTextFileSync(new URL("test_server.pem", fixtures)),
    key: Deno.readTextFileSync(new URL("test_server_key.pem", fixtures)),
  });
  readonly #connections = new Set<Deno.TlsConn>();
  readonly #served: Promise<void>;

  /**
   * Starts one on 127.0.0.1 that signs in whoever asks.
   *
   * @param answers What to answer by method and path: one after the other, then the last for ever.
   */
  constructor(answers: Readonly<Record<string, readonly Bytes[]>>) {
    const token = readHttp("oauth/token_milliseconds.http").bytes;
    this.#answers = { "POST /api/v2/oauth": [token], ...answers };
    this.#served = this.#accept();
  }

  /** The environment variables that lead XRouter here. */
  get env(): Record<string, string> {
    const origin = `https://127.0.0.1:${this.#listener.addr.port}`;
    return {
      GIGACHAT_CREDENTIALS: btoa("raw-client:raw-secret"),
      GIGACHAT_AUTH_URL: `${origin}/api/v2/oauth`,
      GIGACHAT_BASE_URL: `${origin}/v1`,
      GIGACHAT_CA_BUNDLE_FILE: new URL("test_ca.pem", fixtures).pathname,
    };
  }

  /** The requests with this method and path, oldest first. */
  requestsTo(line: string): RawRequest[] {
    return this.requests.filter((request) => request.line === line);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const connection of this.#connections) connection[Symbol.dispose]();
    await this.#served;
  }

  async #accept(): Promise<void> {
    const served: Promise<void>[] = [];
    try {
      for (;;) {
        const connection = await this.#listener.accept();
        this.#connections.add(connection);
        served.push(this.#serve(connection));
      }
    } catch {
      // The listener was closed.
    }
    await Promise.all(served);
  }

  async #serve(connection: Deno.TlsConn): Promise<void> {
    using open = connection;
    try {
      for await (const request of requestsOf(open.readable)) {
        this.requests.push(request);
        const answers = this.#answers[request.line]!;
        const bytes = answers[Math.min(this.requestsTo(request.line).length, answers.length) - 1]!;
        for (let at = 0; at < bytes.length;) at += await open.write(bytes.subarray(at));
      }
    } catch {
      // A client may leave at any time, and one that asks for what is not here is hung up on.
    }
  }
}

/** The requests on a connection; each has a `content-length` or no body. */
async function* requestsOf(stream: ReadableStream<Bytes>): AsyncGenerator<RawRequest> {
  let bytes = new Uint8Array();
  for await (const chunk of stream) {
    bytes = new Uint8Array([...bytes, ...chunk]);
    for (let head = headOf(bytes); head !== undefined; head = headOf(bytes)) {
      const { start: [method, path], headers, end } = head;
      const whole = end + Number(headers.get("content-length") ?? 0);
      if (bytes.length < whole) break;
      const body = new TextDecoder().decode(bytes.subarray(end, whole));
      bytes = bytes.slice(whole);
      yield { line: `${method} ${path}`, headers, body };
    }
  }
}

/** What stands before the body; `undefined` while it is not whole. */
function headOf(bytes: Bytes): { start: string[]; headers: Headers; end: number } | undefined {
  const text = new TextDecoder("latin1").decode(bytes);
  const length = text.indexOf("\r\n\r\n");
  if (length < 0) return undefined;
  const [start = "", ...lines] = text.slice(0, length).split("\r\n");
  const headers = new Headers(lines.map((line): [string, string] => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon), line.slice(colon + 1)];
  }));
  return { start: start.split(" "), headers, end: length + 4 };
}
