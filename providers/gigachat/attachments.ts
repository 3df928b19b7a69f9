/**
 * Brings the files of a request to GigaChat.
 *
 * @module
 */
import { type Call, RouterError } from "xrouter/provider";
import { readVendorMessage } from "../../core/fault.ts";
import type { GigachatMessage } from "./assistant_turn.ts";
import { checkNumber, checkSum, fileOf, mostBytesOf, tooLong } from "./attached_file.ts";
import { Attachment } from "./attachment.ts";
import { refuse } from "./fault.ts";
import { rememberKind } from "./file_kinds.ts";
import type { GigachatFunctions } from "./functions.ts";
import { type UploadFile, uploadsOf } from "./uploads.ts";
import { withoutTokens } from "./vendor_words.ts";
import type { WebFiles } from "./web_images.ts";

/** What a call brought, for a refusal that follows. */
interface Brought {
  /** Of the files that XRouter uploaded. */
  readonly digests: string[];
}

const brought = new WeakMap<Call, Brought>();

/** A request to GigaChat as far as files matter. */
export interface Encoded extends GigachatFunctions {
  messages: GigachatMessage[];
  [field: string]: unknown;
}

/**
 * Puts ids in the place of the attachments of a request. Everything is looked at before anything is
 * uploaded.
 *
 * @param encoded The request of v1; its messages are written to.
 * @param fetched Those of the web.
 * @returns The request; not at once only where it has attachments.
 * @throws {RouterError} `invalid_request` naming the file that GigaChat cannot take; otherwise what
 * the vendor's refusal means.
 */
export function bring(
  encoded: Encoded,
  call: Call,
  fetched: WebFiles | undefined,
): Encoded | Promise<Encoded> {
  if (encoded.messages.every((message) => message.attachments === undefined)) return encoded;
  brought.set(call, { digests: [] });
  return bringAll(encoded, call, fetched);
}

async function bringAll(
  encoded: Encoded,
  call: Call,
  fetched: WebFiles | undefined,
): Promise<Encoded> {
  const attachments = encoded.messages.flatMap(attachmentsOf);
  checkNumber(attachments);
  const files = new Map<Attachment, UploadFile>();
  let bytes = 0;
  let documents = 0;
  for (const attachment of attachments) {
    const file = read(attachment, fetched);
    if (file === undefined) continue;
    bytes += file.bytes.length;
    checkSum(bytes, attachment.path);
    if (file.type.kind === "document" && ++documents > 1) {
      call.cannotKeep(attachment.path, "is a second document: GigaChat reads one in a request");
      continue;
    }
    files.set(attachment, file);
  }
  const ids = new Map<Attachment, string>();
  const { digests } = brought.get(call)!;
  for (const attachment of attachments) {
    const { source } = attachment;
    const file = files.get(attachment);
    if ("id" in source) ids.set(attachment, source.id);
    else if (file !== undefined) {
      const { id, digest } = await upload(file, attachment.path, call);
      digests.push(digest);
      rememberKind(id, file.type.kind, call);
      ids.set(attachment, id);
    }
  }
  for (const message of encoded.messages) replaceIn(message, ids);
  return encoded;
}

/** The file that an attachment is; nothing where GigaChat has it already. */
function read(attachment: Attachment, fetched: WebFiles | undefined): UploadFile | undefined {
  const { source, path, kind } = attachment;
  if ("id" in source) return undefined;
  if ("base64" in source) {
    return fileOf(attachment, decode(source.base64, path, mostBytesOf(kind)));
  }
  const file = fetched?.get(path);
  if (file === undefined) throw new RouterError("internal", `"${path}" was not fetched`);
  return file;
}

/**
 * What a refused chat says of the files that it brought. Those that XRouter uploaded are uploaded
 * again next time: somebody may have deleted them.
 *
 * @returns `undefined` for what has nothing to do with files.
 */
export function faultOfFiles(status: number, body: string, call: Call): RouterError | undefined {
  const files = brought.get(call);
  if (files === undefined || ![400, 404, 422].includes(status)) return undefined;
  const { message = "" } = readVendorMessage(withoutTokens(body));
  const isLost = status === 404 && !/model|модел/i.test(message);
  if (!isLost && !/file|attachment|файл|вложен/i.test(message)) return undefined;
  const uploads = uploadsOf(call.settings);
  for (const digest of files.digests) uploads.forget(digest);
  const detail = `HTTP ${status} ${withoutTokens(body).slice(0, 500)}`;
  return files.digests.length > 0 && isLost
    ? new RouterError("upstream_unavailable", "GigaChat has lost a file of this request", {
      detail,
    })
    : new RouterError("invalid_request", `GigaChat refuses a file of this request: ${message}`, {
      detail,
    });
}

function attachmentsOf({ attachments }: GigachatMessage): Attachment[] {
  return Array.isArray(attachments)
    ? attachments.filter((each): each is Attachment => each instanceof Attachment)
    : [];
}

function replaceIn(message: GigachatMessage, ids: ReadonlyMap<Attachment, string>): void {
  if (attachmentsOf(message).length === 0) return;
  const kept = (message.attachments as unknown[]).flatMap((each) =>
    each instanceof Attachment ? ids.get(each) ?? [] : [each]
  );
  if (kept.length > 0) message.attachments = kept;
  else delete message.attachments;
}

async function upload(file: UploadFile, path: string, call: Call) {
  try {
    return await uploadsOf(call.settings).upload(file, call);
  } catch (error) {
    if (error instanceof RouterError && error.code === "invalid_request") {
      throw refuse(path, error.message);
    }
    throw error;
  }
}

function decode(base64: string, path: string, limit: number): Uint8Array<ArrayBuffer> {
  if (base64.length * 3 / 4 > limit + 3) throw tooLong(path, limit);
  try {
    return Uint8Array.fromBase64(base64);
  } catch {
    throw refuse(path, "is no valid base64");
  }
}
