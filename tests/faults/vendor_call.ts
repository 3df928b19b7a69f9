/**
 * One call as a vendor sees it, on a bare socket: HTTP libraries cannot misbehave as some vendors do.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import type { Socket } from "node:net";

/** What the lab writes into a request's field `lab`; XRouter passes fields that it does not know. */
export interface Lab {
  /** Whose call it is: the vendor counts tries and keeps its log for each run apart. */
  readonly run: string;
  /** What the vendor's times are multiplied with. */
  readonly pace: number;
}

/** The body of a request, as far as the lab looks at it. */
export interface CallBody {
  readonly model: string;
  readonly stream?: boolean;
  readonly messages: readonly { readonly role: string; readonly content: string }[];
  readonly lab?: Lab;
}

/** The requests that come over one connection, and the bytes that go back. */
export class VendorSocket {
  readonly #socket: Socket;
  #bytes = Buffer.alloc(0);
  #more = Promise.withResolvers<void>();
  #closed = false;
  /** Resolved when the connection is over, whoever ended it. */
  readonly gone: Promise<void>;

  /** @param socket As it was accepted. */
  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    // A reset by the other side is an end like any other.
    socket.on("error", () => {});
    socket.on("data", (bytes: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, bytes]);
      this.#wake();
    });
    socket.on("end", () => socket.destroy());
    this.gone = new Promise((resolve) =>
      socket.on("close", () => {
        this.#closed = true;
        this.#wake();
        resolve();
      })
    );
  }

  /** The next request; `undefined` once the connection is over. A TLS greeting has no body. */
  async request(): Promise<{ method: string; body: CallBody | undefined } | undefined> {
    while (this.#bytes.length === 0 && !this.#closed) await this.#more.promise;
    const tlsHandshake = 0x16;
    if (this.#bytes[0] === tlsHandshake) return { method: "TLS", body: undefined };
    let end = -1;
    while ((end = this.#bytes.indexOf("\r\n\r\n")) < 0) {
      if (this.#closed) return undefined;
      await this.#more.promise;
    }
    const head = this.#bytes.toString("latin1", 0, end);
    const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0);
    const whole = end + 4 + length;
    while (this.#bytes.length < whole) {
      if (this.#closed) return undefined;
      await this.#more.promise;
    }
    const text = this.#bytes.toString("utf8", end + 4, whole);
    this.#bytes = this.#bytes.subarray(whole);
    const method = head.slice(0, head.indexOf(" "));
    return { method, body: text === "" ? undefined : JSON.parse(text) };
  }

  /** Sends bytes, at the pace of whoever reads them. */
  async send(data: string | Uint8Array): Promise<void> {
    if (this.#closed) return;
    const sent = new Promise<void>((resolve) => this.#socket.write(data, () => resolve()));
    await Promise.race([sent, this.gone]);
  }

  /** Ends the connection as TCP ends one. */
  close(): void {
    this.#socket.end(() => this.#socket.destroy());
  }

  /** Ends the connection with a reset. */
  reset(): void {
    this.#socket.resetAndDestroy();
  }

  /** Whether the connection is over. */
  get closed(): boolean {
    return this.#closed;
  }

  #wake(): void {
    this.#more.resolve();
    this.#more = Promise.withResolvers();
  }
}

/** A request and the ways to answer it. */
export class VendorCall {
  readonly body: CallBody;
  readonly socket: VendorSocket;
  /** 1 for the first call of this run for this model. */
  readonly number: number;
  /** Milliseconds since the first call of this run for this model. */
  readonly sinceFirst: number;

  /** What came, over which connection, and which of its run's calls it is. */
  constructor(
    { body, socket, number, sinceFirst }: Pick<
      VendorCall,
      "body" | "socket" | "number" | "sinceFirst"
    >,
  ) {
    this.body = body;
    this.socket = socket;
    this.number = number;
    this.sinceFirst = sinceFirst;
  }

  /** Milliseconds at the run's pace. */
  paced(ms: number): number {
    return ms * (this.body.lab?.pace ?? 1);
  }

  /** Waits, at the run's pace. @returns `false` when the connection was over before. */
  async pause(ms: number): Promise<boolean> {
    return await this.#wait(this.paced(ms));
  }

  /** Waits, at any pace, until what was sent has been read before what follows. */
  async settle(): Promise<void> {
    await this.#wait(200);
  }

  async #wait(ms: number): Promise<boolean> {
    let timer: ReturnType<typeof setTimeout>;
    const waited = new Promise<void>((resolve) => timer = setTimeout(resolve, ms));
    await Promise.race([waited, this.socket.gone]);
    clearTimeout(timer!);
    return !this.socket.closed;
  }

  /** Sends an answer whose length is known. */
  async whole(
    status: number,
    body: string | Uint8Array,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    const bytes = typeof body === "string" ? Buffer.from(body) : body;
    const head = headOf(status, {
      "content-type": "application/json",
      ...headers,
      "content-length": `${bytes.length}`,
    });
    await this.socket.send(Buffer.concat([Buffer.from(head), bytes]));
  }

  /** Sends OpenAI's error. */
  async refuse(
    status: number,
    code: string,
    message: string,
    headers?: Readonly<Record<string, string>>,
  ): Promise<void> {
    const error = { message, type: "lab_error", param: null, code };
    await this.whole(status, JSON.stringify({ error }), headers);
  }

  /** Begins a stream. */
  async begin(headers: Readonly<Record<string, string>> = {}): Promise<void> {
    const type = { "content-type": "text/event-stream", "transfer-encoding": "chunked" };
    await this.socket.send(headOf(200, { ...type, ...headers }));
  }

  /** Sends some of a stream. */
  async events(...parts: readonly (string | Uint8Array)[]): Promise<void> {
    const bytes = Buffer.concat(parts.map((part) => Buffer.from(part as string)));
    const size = Buffer.from(`${bytes.length.toString(16)}\r\n`);
    await this.socket.send(Buffer.concat([size, bytes, Buffer.from("\r\n")]));
  }

  /** Ends a stream as HTTP ends one. */
  async end(): Promise<void> {
    await this.socket.send("0\r\n\r\n");
  }
}

/** Status line and headers. */
export function headOf(status: number, headers: Readonly<Record<string, string>>): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} Lab\r\n${lines.join("")}\r\n`;
}
