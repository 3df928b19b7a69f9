/** An answer's status and headers; the names are in lower case. */
export interface HttpHead {
  status: number;
  headers: Map<string, string>;
}

const LINE_LIMIT = 16_384;
const LF = 10;
const CR = 13;

/**
 * One persistent HTTP/1.1 connection to 127.0.0.1: a request goes out as bytes, its answer comes
 * back complete before the next may be sent. It costs a fraction of `fetch`, so that the load
 * generator leaves the processor to the servers it measures, and it is strict: whatever RFC 9112
 * does not allow on a persistent connection is an error.
 */
export class HttpConnection {
  readonly #socket: Deno.TcpConn;
  readonly #latin1 = new TextDecoder("latin1");
  #buffer = new Uint8Array(65_536);
  #start = 0;
  #end = 0;
  #closed = false;

  private constructor(socket: Deno.TcpConn) {
    this.#socket = socket;
  }

  /** Connects to a port of 127.0.0.1. */
  static async open(port: number): Promise<HttpConnection> {
    const socket = await Deno.connect({ hostname: "127.0.0.1", port });
    socket.setNoDelay(true);
    return new HttpConnection(socket);
  }

  /** Closes the socket; an exchange under way fails. Safe to call twice. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.close();
  }

  /**
   * Sends one request and reads its answer to the last byte.
   *
   * @param onBody Gets the body piece by piece, chunk framing removed. A piece is a view into the
   * connection's buffer, valid during the call only.
   * @throws {Error} The answer is malformed or cut off, or its end is known only by the connection's
   * end, or bytes follow it.
   */
  async exchange(request: Uint8Array, onBody: (piece: Uint8Array) => void): Promise<HttpHead> {
    for (let sent = 0; sent < request.length;) {
      sent += await this.#socket.write(sent === 0 ? request : request.subarray(sent));
    }
    const head = await this.#readHead();
    const coding = head.headers.get("transfer-encoding");
    const length = head.headers.get("content-length");
    if (coding !== undefined && length !== undefined) {
      throw new Error("The answer has both Transfer-Encoding and Content-Length");
    }
    if (coding !== undefined) {
      if (coding.toLowerCase() !== "chunked") {
        throw new Error(`The answer's Transfer-Encoding is "${coding}", not "chunked"`);
      }
      await this.#readChunks(onBody);
    } else if (length !== undefined && /^\d+$/.test(length)) {
      await this.#readBytes(Number(length), onBody);
    } else {
      throw new Error(`The answer's length is unknown: Content-Length is "${length ?? ""}"`);
    }
    if (this.#start !== this.#end) throw new Error("Bytes follow the end of the answer");
    if (head.headers.get("connection")?.toLowerCase() === "close") {
      throw new Error("The server ends the persistent connection");
    }
    return head;
  }

  async #readHead(): Promise<HttpHead> {
    const statusLine = await this.#readLine();
    const status = /^HTTP\/1\.1 ([2-5]\d\d)(?: |$)/.exec(statusLine)?.[1];
    if (status === undefined) throw new Error(`The status line is "${statusLine}"`);
    const headers = new Map<string, string>();
    for (let line = await this.#readLine(); line !== ""; line = await this.#readLine()) {
      const colon = line.indexOf(":");
      if (colon < 1) throw new Error(`The header line is "${line}"`);
      const name = line.slice(0, colon).toLowerCase();
      const before = headers.get(name);
      const value = line.slice(colon + 1).trim();
      headers.set(name, before === undefined ? value : `${before}, ${value}`);
    }
    return { status: Number(status), headers };
  }

  async #readChunks(onBody: (piece: Uint8Array) => void): Promise<void> {
    while (true) {
      const line = await this.#readLine();
      const size = /^([0-9a-f]{1,8})[ \t]*(?:;.*)?$/i.exec(line)?.[1];
      if (size === undefined) throw new Error(`The chunk size is "${line}"`);
      const length = parseInt(size, 16);
      if (length === 0) break;
      await this.#readBytes(length, onBody);
      if (await this.#readLine() !== "") throw new Error("A chunk is longer than its size");
    }
    while (await this.#readLine() !== "");
  }

  async #readBytes(length: number, onBody: (piece: Uint8Array) => void): Promise<void> {
    for (let left = length; left > 0;) {
      if (this.#start === this.#end) await this.#fill();
      const piece = this.#buffer.subarray(this.#start, Math.min(this.#end, this.#start + left));
      this.#start += piece.length;
      left -= piece.length;
      onBody(piece);
    }
  }

  async #readLine(): Promise<string> {
    let scanned = 0;
    while (true) {
      const unread = this.#buffer.subarray(this.#start, this.#end);
      const feed = unread.indexOf(LF, scanned);
      if (feed !== -1) {
        if (feed === 0 || unread[feed - 1] !== CR) throw new Error("A line does not end in CR LF");
        this.#start += feed + 1;
        return this.#latin1.decode(unread.subarray(0, feed - 1));
      }
      scanned = unread.length;
      if (scanned > LINE_LIMIT) throw new Error(`A line is longer than ${LINE_LIMIT} bytes`);
      await this.#fill();
    }
  }

  async #fill(): Promise<void> {
    if (this.#start > 0) {
      this.#buffer.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
    }
    const read = await this.#socket.read(this.#buffer.subarray(this.#end));
    if (read === null) throw new Error("The server closed the connection before the answer's end");
    this.#end += read;
  }
}
