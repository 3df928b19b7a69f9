/**
 * The form that `POST /v1/files` takes.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { RouterError } from "xrouter/plugin";

/** What a client uploads. */
export interface Upload {
  readonly file: File;
  /** What the client wants the file for. */
  readonly purpose: string;
  /** The provider that is to take it, where the client names one. */
  readonly provider: string | undefined;
}

/** RFC 2046 §5.1.1, without spaces. */
const boundaryForm = /^multipart\/form-data\s*;\s*boundary="?([\w'()+,./:=?-]{1,70})"?\s*$/i;

/** Many small parts would take many seconds to read. */
const mostParts = 16;

const fields: readonly string[] = ["file", "purpose", "provider"];

/**
 * Reads an upload.
 *
 * @param limit Bytes that the body may have.
 * @throws {RouterError} `unsupported_media_type`, `payload_too_large` or `invalid_request` naming
 * the field that is wrong; `aborted` when the client left in the middle.
 */
export async function readUpload(request: Request, limit: number): Promise<Upload> {
  const given = request.headers.get("content-type") ?? "";
  const boundary = boundaryForm.exec(given)?.[1];
  if (boundary === undefined) {
    throw new RouterError(
      "unsupported_media_type",
      'Files are sent as a form, with "content-type: multipart/form-data" and its boundary',
    );
  }
  const bytes = await readBytes(request, limit);
  if (hasManyParts(bytes, boundary)) {
    throw new RouterError("invalid_request", `The form has more than ${mostParts} fields`);
  }
  let form: FormData;
  try {
    // The boundary whose parts were counted, whatever else the header says.
    const type = `multipart/form-data; boundary=${boundary}`;
    form = await new Response(bytes, { headers: { "content-type": type } }).formData();
  } catch {
    throw new RouterError("invalid_request", "The body is not a valid form");
  }
  const unknown = [...form.keys()].find((name) => !fields.includes(name));
  if (unknown !== undefined) {
    throw refuse(unknown.slice(0, 100), `is none of ${fields.join(", ")}. Leave it out`);
  }
  const file = form.get("file");
  if (!(file instanceof File)) throw refuse("file", "must be a file with a name");
  if (file.size === 0) throw refuse("file", "is empty");
  if (file.name.length > 255) throw refuse("file", "must have a name of at most 255 characters");
  return {
    file,
    purpose: textOf(form, "purpose") ?? "user_data",
    provider: textOf(form, "provider") ?? new URL(request.url).searchParams.get("provider") ??
      undefined,
  };
}

function hasManyParts(bytes: Uint8Array<ArrayBuffer>, boundary: string): boolean {
  const body = Buffer.from(bytes.buffer);
  let count = 0;
  let at = 0;
  while (count <= mostParts && (at = body.indexOf(`--${boundary}`, at) + 1) > 0) count++;
  return count > mostParts;
}

function textOf(form: FormData, name: string): string | undefined {
  const value = form.get(name);
  if (value === null) return undefined;
  if (typeof value !== "string" || !/^[\w-]{1,64}$/.test(value)) {
    throw refuse(name, "must be a word of at most 64 letters, digits, _ and -");
  }
  return value;
}

async function readBytes(request: Request, limit: number): Promise<Uint8Array<ArrayBuffer>> {
  const tooLarge = () =>
    new RouterError(
      "payload_too_large",
      `The upload is longer than ${limit} bytes. Send less, or let the operator raise XROUTER_FILE_LIMIT`,
    );
  if (Number(request.headers.get("content-length")) > limit) throw tooLarge();
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  try {
    for await (const part of request.body ?? []) {
      length += part.length;
      if (length > limit) break;
      parts.push(part);
    }
  } catch (error) {
    throw new RouterError("aborted", "The client closed the connection", { cause: error });
  }
  if (length > limit) throw tooLarge();
  return await new Blob(parts).bytes();
}

function refuse(param: string, message: string): RouterError {
  return new RouterError("invalid_request", `"${param}" ${message}`, { param });
}
