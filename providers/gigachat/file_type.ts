/**
 * What a file is, by its bytes. Labels lie: a browser calls a WebP "photo.jpg".
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { refuse } from "./fault.ts";

/** What GigaChat does with a file. */
export type FileKind = "image" | "audio" | "document";

/** A format that GigaChat reads. */
export interface FileType {
  readonly kind: FileKind;
  /** For people. */
  readonly name: string;
  readonly extension: string;
  readonly mime: string;
}

/** The formats by kind, for messages. From GigaChat's guide to files. */
export const formats: Readonly<Record<FileKind, string>> = {
  image: "JPEG, PNG, TIFF and BMP",
  audio: "MP3, MP4, M4A, WAV, WebM, Ogg and Opus",
  document: "plain text in UTF-8, PDF, DOC, DOCX, PPT, PPTX, XLSX and EPUB",
};

const type = (kind: FileKind, name: string, extension: string, mime: string): FileType => ({
  kind,
  name,
  extension,
  mime,
});

const office = "application/vnd.openxmlformats-officedocument.";
const types = {
  jpeg: type("image", "JPEG", "jpg", "image/jpeg"),
  png: type("image", "PNG", "png", "image/png"),
  tiff: type("image", "TIFF", "tiff", "image/tiff"),
  bmp: type("image", "BMP", "bmp", "image/bmp"),
  mp3: type("audio", "MP3", "mp3", "audio/mpeg"),
  mp4: type("audio", "MP4", "mp4", "audio/mp4"),
  m4a: type("audio", "M4A", "m4a", "audio/x-m4a"),
  wav: type("audio", "WAV", "wav", "audio/wav"),
  weba: type("audio", "WebM", "weba", "audio/webm"),
  ogg: type("audio", "Ogg", "ogg", "audio/ogg"),
  opus: type("audio", "Opus", "opus", "audio/opus"),
  txt: type("document", "text", "txt", "text/plain"),
  pdf: type("document", "PDF", "pdf", "application/pdf"),
  doc: type("document", "DOC", "doc", "application/msword"),
  ppt: type("document", "PPT", "ppt", "application/vnd.ms-powerpoint"),
  docx: type("document", "DOCX", "docx", `${office}wordprocessingml.document`),
  pptx: type("document", "PPTX", "pptx", `${office}presentationml.presentation`),
  xlsx: type("document", "XLSX", "xlsx", `${office}spreadsheetml.sheet`),
  epub: type("document", "EPUB", "epub", "application/epub+zip"),
} as const;

/**
 * Finds the format of a file.
 *
 * @returns The format, or the name of one that GigaChat lacks: `a WebP image`.
 */
export function fileTypeOf(bytes: Uint8Array<ArrayBuffer>): FileType | string {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const has = (words: string, at = 0) => latin1(file, at, at + words.length) === words;
  if (has("\xff\xd8\xff")) return types.jpeg;
  if (has("\x89PNG\r\n\x1a\n")) return types.png;
  if (has("II*\0") || has("MM\0*")) return types.tiff;
  // The second field is 0 or reserved in every other file that begins with these two letters.
  if (has("BM") && file.length >= 26 && has("\0\0\0\0", 6)) return types.bmp;
  if (has("GIF8")) return "a GIF";
  if (has("RIFF")) return has("WAVE", 8) ? types.wav : has("WEBP", 8) ? "a WebP image" : "an AVI";
  if (has("ftyp", 4)) return isoMediaType(latin1(file, 8, 12));
  if (has("\xff\x0a") || has("\0\0\0\x0cJXL ")) return "a JPEG XL image";
  if (has("\0\0\x01\0")) return "an icon";
  if (has("8BPS")) return "a Photoshop file";
  if (has("\x1aE\xdf\xa3")) return types.weba;
  if (has("OggS")) return has("OpusHead", 28) ? types.opus : types.ogg;
  if (has("ID3") || isMp3Frame(file)) return types.mp3;
  if (has("fLaC")) return "a FLAC";
  if (has("%PDF-")) return types.pdf;
  if (has("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")) return oleType(file);
  if (has("PK\x03\x04")) return zipType(file);
  return textType(file);
}

function isoMediaType(brand: string): FileType | string {
  if (/^(hei|hev|mif1|msf1)/.test(brand)) return "a HEIC image";
  if (/^avi[fs]$/.test(brand)) return "an AVIF image";
  return brand.startsWith("M4A") || brand.startsWith("M4B") ? types.m4a : types.mp4;
}

/** Eleven set bits, then a version, a layer and a bit rate, none of them a reserved one. */
function isMp3Frame(file: Uint8Array): boolean {
  const [first = 0, second = 0, third = 0] = file;
  return first === 0xff && (second & 0xe0) === 0xe0 && (second & 0x18) !== 0x08 &&
    (second & 0x06) === 0x02 && (third & 0xf0) !== 0xf0;
}

/** The older office formats differ in the names of the streams inside. */
function oleType(file: Buffer): FileType | string {
  if (file.includes("WordDocument", 0, "utf16le")) return types.doc;
  if (file.includes("PowerPoint Document", 0, "utf16le")) return types.ppt;
  return file.includes("Workbook", 0, "utf16le") ? "an XLS" : "an office file of another kind";
}

/** The newer office formats differ in the names of the files inside. */
function zipType(file: Buffer): FileType | string {
  if (file.includes("word/document")) return types.docx;
  if (file.includes("ppt/presentation")) return types.pptx;
  if (file.includes("xl/workbook")) return types.xlsx;
  return latin1(file, 30, 58) === "mimetypeapplication/epub+zip" ? types.epub : "a ZIP archive";
}

function textType(file: Buffer): FileType | string {
  const beginning = latin1(file, 0, 1024);
  if (/^\s*(<\?xml[^>]*>\s*)?(<!--[^]*?-->\s*|<!DOCTYPE svg[^>]*>\s*)*<svg[\s>]/.test(beginning)) {
    return "an SVG";
  }
  const unknown = "of a format that is not known";
  if (file.length === 0 || file.includes(0)) return unknown;
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(file);
    return types.txt;
  } catch {
    return unknown;
  }
}

function latin1(file: Buffer, start: number, end: number): string {
  return file.toString("latin1", start, end);
}

/** What a file is by the ending of its name; where that says nothing, it may have to be read. */
export function kindByName(filename: string): FileKind {
  if (/\.(jpe?g|png|tiff?|bmp)$/i.test(filename)) return "image";
  return /\.(mp[34]|m4a|wav|web[am]|og[ga]|opus)$/i.test(filename) ? "audio" : "document";
}

/**
 * The content type by which a file is uploaded.
 *
 * @throws {RouterError} `invalid_request` for a format that GigaChat lacks.
 */
export function contentType(bytes: Uint8Array<ArrayBuffer>): string {
  const found = fileTypeOf(bytes);
  if (typeof found !== "string") return found.mime;
  throw refuse(
    "file",
    `is ${found}, which GigaChat does not read. It reads ${Object.values(formats).join("; ")}`,
  );
}
