/**
 * HTTP by hand, for requests that no client would send.
 *
 * @module
 */

/** What came back, as far as it came. */
export interface RawAnswer {
  /** The status of the last answer; `undefined` where the server only hung up. */
  readonly status: number | undefined;
  /** Status line and headers. */
  readonly head: string;
  readonly body: string;
}

/**
 * Sends bytes as they are, reads one answer, or until the server hangs up, and hangs up.
 *
 * @param url Where the server listens.
 * @param parts What to send, each in a write of its own; a function is awaited at its place.
 */
export async function sendRaw(
  url: string,
  ...parts: (string | Uint8Array | (() => Promise<void>))[]
): Promise<RawAnswer> {
  const { hostname, port } = new URL(url);
  const connection = await Deno.connect({ hostname, port: Number(port) });
  const answer = readText(connection);
  const encoder = new TextEncoder();
  try {
    for (const part of parts) {
      if (typeof part === "function") await part();
      else await writeAll(connection, typeof part === "string" ? encoder.encode(part) : part);
    }
  } catch {
    // The server may have refused and closed before it had everything: its answer is what counts.
  }
  try {
    return readAnswer(await answer);
  } finally {
    connection.close();
  }
}

async function writeAll(connection: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
}

async function readText(connection: Deno.Conn): Promise<string> {
  const decoder = new TextDecoder();
  const buffer = new Uint8Array(64 * 1024);
  let text = "";
  try {
    for (let read; !isComplete(text) && (read = await connection.read(buffer)) !== null;) {
      text += decoder.decode(buffer.subarray(0, read), { stream: true });
    }
  } catch {
    // A reset ends the answer as well as a close does.
  }
  return text;
}

function isComplete(text: string): boolean {
  const { status, head, body } = readAnswer(text);
  if (status === 204) return true;
  const length = /^content-length: (\d+)/im.exec(head)?.[1];
  if (length !== undefined) return new TextEncoder().encode(body).length >= Number(length);
  return /^transfer-encoding: chunked/im.test(head) && body.endsWith("0\r\n\r\n");
}

function readAnswer(text: string): RawAnswer {
  // An interim answer, such as "100 Continue", has a head and no body.
  const last = text.replace(/^(HTTP\/1\.[01] 1\d\d[^\r]*\r\n\r\n)+/, "");
  const [head = "", ...rest] = last.split("\r\n\r\n");
  const status = /^HTTP\/1\.[01] (\d{3})/.exec(head)?.[1];
  return {
    status: status === undefined ? undefined : Number(status),
    head,
    body: rest.join("\r\n\r\n"),
  };
}
