/**
 * Brings the files of a request to GigaChat.
 *
 * @module
 */
import { type Call, RouterError } from "xrouter/provider";
import { readVendorMessage } from "../../core/fault.ts";
import { GuardedFetch, UnfetchableError } from "../../core/guarded_fetch.ts";
import type { GigachatMessage } from "./assistant_turn.ts";
import { Attachment } from "./attachment.ts";
import { refuse } from "./fault.ts";
import { type FileKind, type FileType, fileTypeOf, formats } from "./file_type.ts";
import { type UploadFile, uploadsOf } from "./uploads.ts";
import { withoutTokens } from "./vendor_words.ts";

const megabyte = 1024 * 1024;

/** Bytes that GigaChat takes of one file, and of all files of a request. From its guide to files. */
const mostBytes: Readonly<Record<FileKind, number>> = {
  image: 15 * megabyte,
  audio: 35 * megabyte,
  document: 40 * megabyte,
};
const mostBytesTogether = 80 * megabyte;

/** Files that GigaChat takes in one request. */
const mostFiles = 10;

/** Milliseconds for fetching a file from the web. */
const fetchMs = 15_000;

/** The function by which GigaChat's models read documents. */
const reader = "get_file_content";

/** What a call brought, for a refusal that follows. */
interface Brought {
  /** Of the files that XRouter uploaded. */
  readonly digests: string[];
}

const brought = new WeakMap<Call, Brought>();

/** A request to GigaChat as far as files matter. */
interface Encoded {
  [field: string]: unknown;
  functions?: unknown;
  function_call?: unknown;
}

/** Uploads attachments. */
export class Attachments {
  readonly #web: GuardedFetch;

  /** @param web Fetches what is named by its address. */
  constructor(web: GuardedFetch = new GuardedFetch()) {
    this.#web = web;
  }

  /**
   * Puts ids in the place of the attachments of a request. Everything is looked at before anything
   * is uploaded.
   *
   * @returns The request; not at once only where it has attachments.
   * @throws {RouterError} `invalid_request` naming the file that GigaChat cannot take; otherwise what
   * the vendor's refusal means.
   */
  bring(encoded: Encoded, call: Call): Encoded | Promise<Encoded> {
    const messages = encoded.messages as GigachatMessage[];
    if (messages.every((message) => message.attachments === undefined)) return encoded;
    brought.set(call, { digests: [] });
    const attachments = messages.flatMap(attachmentsOf);
    return attachments.length === 0 ? encoded : this.#bring(encoded, attachments, call);
  }

  async #bring(
    encoded: Encoded,
    attachments: readonly Attachment[],
    call: Call,
  ): Promise<Encoded> {
    const tooMany = attachments[mostFiles];
    if (tooMany !== undefined) {
      throw refuse(
        tooMany.path,
        `is one of ${attachments.length} files: GigaChat takes ${mostFiles}`,
      );
    }
    const files = new Map<Attachment, UploadFile>();
    let bytes = 0;
    let documents = 0;
    for (const attachment of attachments) {
      const file = await this.#read(attachment, call);
      if (file === undefined) continue;
      bytes += file.bytes.length;
      if (bytes > mostBytesTogether) {
        throw refuse(attachment.path, "is too much: GigaChat takes 80 MB of files in a request");
      }
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
        ids.set(attachment, id);
      }
    }
    for (const message of encoded.messages as GigachatMessage[]) replaceIn(message, ids);
    const isRead = documents > 0 || attachments.some(({ source }) => "id" in source);
    return isRead ? withReader(encoded) : encoded;
  }

  /** The bytes of an attachment and what they are; nothing where GigaChat has them already. */
  async #read(attachment: Attachment, call: Call): Promise<UploadFile | undefined> {
    const { source, path, kind, filename } = attachment;
    if ("id" in source) return undefined;
    const limit = kind === undefined ? Math.max(...Object.values(mostBytes)) : mostBytes[kind];
    const bytes = "url" in source
      ? await this.#fetch(source.url, path, limit, call)
      : decode(source.base64, path, limit);
    const type = fileTypeOf(bytes);
    if (typeof type === "string") {
      const wanted = kind ?? (/image|GIF|SVG|icon/.test(type) ? "image" : "document");
      throw refuse(path, `is ${type}, which GigaChat does not read. Send ${formats[wanted]}`);
    }
    checkKind(type, kind, path);
    if (bytes.length > mostBytes[type.kind]) throw tooLong(path, mostBytes[type.kind]);
    return { bytes, type, name: type.kind === "document" ? nameOf(filename, type) : undefined };
  }

  async #fetch(url: string, path: string, limit: number, call: Call) {
    try {
      const limits = { bytes: limit, ms: fetchMs, signal: call.signal };
      return (await this.#web.get(url, limits)).bytes;
    } catch (error) {
      if (error instanceof UnfetchableError) throw refuse(path, error.message);
      throw error;
    }
  }
}

/** Uploads what requests bring. */
export const attachments: Attachments = new Attachments();

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

/**
 * Models read documents by a function of GigaChat's own, which must be allowed; where the client
 * wants no function called, it is the only one.
 */
function withReader(encoded: Encoded): Encoded {
  const { functions, function_call: choice } = encoded;
  if (typeof choice === "object" && choice !== null) return encoded;
  const others = Array.isArray(functions) && choice !== "none" ? functions : [];
  const named = others.length > 0 || choice === "none";
  return {
    ...encoded,
    function_call: "auto",
    ...(named &&
      { functions: [...others.filter(({ name }) => name !== reader), { name: reader }] }),
  };
}

function decode(base64: string, path: string, limit: number): Uint8Array<ArrayBuffer> {
  if (base64.length * 3 / 4 > limit + 3) throw tooLong(path, limit);
  try {
    return Uint8Array.fromBase64(base64);
  } catch {
    throw refuse(path, "is no valid base64");
  }
}

function checkKind({ kind, name }: FileType, wanted: FileKind | undefined, path: string): void {
  if (wanted === undefined || wanted === kind) return;
  const part = kind === "image" ? "image_url" : kind === "audio" ? "input_audio" : "file";
  throw refuse(path, `holds ${name}, which is no ${wanted}. Send it as a part of type "${part}"`);
}

function tooLong(path: string, limit: number): RouterError {
  return refuse(path, `is longer than ${limit / megabyte} MB, the most that GigaChat takes`);
}

/** A document's name as the client has it, with the ending that its bytes call for. */
function nameOf(filename: string | undefined, { extension }: FileType): string {
  const base = (filename ?? "").split(/[\\/]/).at(-1)!.toWellFormed()
    // deno-lint-ignore no-control-regex -- they would end the header that the name stands in
    .replace(/[\x00-\x1f\x7f"]/g, "_").slice(0, 200);
  if (base === "") return `document.${extension}`;
  return base.toLowerCase().endsWith(`.${extension}`) ? base : `${base}.${extension}`;
}
