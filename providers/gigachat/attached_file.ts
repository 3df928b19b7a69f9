/**
 * A file that a request brings, as GigaChat takes it: of a kind that it knows, and within its limits.
 *
 * @module
 */
import type { RouterError } from "xrouter/provider";
import type { Attachment } from "./attachment.ts";
import { refuse } from "./fault.ts";
import { type FileKind, type FileType, fileTypeOf, formats } from "./file_type.ts";
import type { UploadFile } from "./uploads.ts";

const megabyte = 1024 * 1024;

/** Bytes that GigaChat takes of one file. From its guide to files. */
const mostBytes: Readonly<Record<FileKind, number>> = {
  image: 15 * megabyte,
  audio: 35 * megabyte,
  document: 40 * megabyte,
};

/** Bytes that GigaChat takes of all files of a request. */
export const mostBytesTogether = 80 * megabyte;

/** Files that GigaChat takes in one request. */
const mostFiles = 10;

/** The most bytes of a file whose part says what it is, or does not say it. */
export function mostBytesOf(kind: FileKind | undefined): number {
  return kind === undefined ? Math.max(...Object.values(mostBytes)) : mostBytes[kind];
}

/** @throws {RouterError} `invalid_request` where a request has more files than GigaChat takes. */
export function checkNumber(files: readonly Pick<Attachment, "path">[]): void {
  const tooMany = files[mostFiles];
  if (tooMany === undefined) return;
  throw refuse(tooMany.path, `is one of ${files.length} files: GigaChat takes ${mostFiles}`);
}

/**
 * @param bytes Those of all files until now.
 * @param path The field of the last one.
 * @throws {RouterError} `invalid_request` where they are more than GigaChat takes.
 */
export function checkSum(bytes: number, path: string): void {
  if (bytes <= mostBytesTogether) return;
  throw refuse(path, "is too much: GigaChat takes 80 MB of files in a request");
}

/**
 * The file that an attachment's bytes are.
 *
 * @param attachment Its field, what its part says that it is, and the client's name for it.
 * @throws {RouterError} `invalid_request` for what GigaChat does not read there, or is too long.
 */
export function fileOf(
  { path, kind, filename }: Pick<Attachment, "path" | "kind"> & { filename?: string | undefined },
  bytes: Uint8Array<ArrayBuffer>,
): UploadFile {
  const type = fileTypeOf(bytes);
  if (typeof type === "string") {
    const wanted = kind ?? (/image|GIF|SVG|icon/.test(type) ? "image" : "document");
    throw refuse(path, `is ${type}, which GigaChat does not read. Send ${formats[wanted]}`);
  }
  checkKind(type, kind, path);
  if (bytes.length > mostBytes[type.kind]) throw tooLong(path, mostBytes[type.kind]);
  return { bytes, type, name: type.kind === "document" ? nameOf(filename, type) : undefined };
}

/** The refusal of a file that has more bytes than GigaChat takes. */
export function tooLong(path: string, limit: number): RouterError {
  return refuse(path, `is longer than ${limit / megabyte} MB, the most that GigaChat takes`);
}

function checkKind({ kind, name }: FileType, wanted: FileKind | undefined, path: string): void {
  if (wanted === undefined || wanted === kind) return;
  const part = kind === "image" ? "image_url" : kind === "audio" ? "input_audio" : "file";
  throw refuse(path, `holds ${name}, which is no ${wanted}. Send it as a part of type "${part}"`);
}

/** A document's name as the client has it, with the ending that its bytes call for. */
function nameOf(filename: string | undefined, { extension }: FileType): string {
  const base = (filename ?? "").split(/[\\/]/).at(-1)!.toWellFormed()
    // deno-lint-ignore no-control-regex -- they would end the header that the name stands in
    .replace(/[\x00-\x1f\x7f"]/g, "_").slice(0, 200);
  if (base === "") return `document.${extension}`;
  return base.toLowerCase().endsWith(`.${extension}`) ? base : `${base}.${extension}`;
}
