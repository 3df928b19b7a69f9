/**
 * A content part that brings a file: an image, a recording or a document.
 *
 * @module
 */
import type { Call, ChatBody } from "xrouter/provider";
import type { FileKind } from "./file_type.ts";
import { roleOf } from "./asked_call.ts";
import { refuse } from "./fault.ts";

/** Where the bytes of an attachment are. */
export type Source =
  /** In the request, as base64. */
  | { readonly base64: string }
  /** At an address of the web. */
  | { readonly url: string }
  /** At GigaChat already. */
  | { readonly id: string };

/** A file of a message, as the client names it. */
export class Attachment {
  /** The field that names it: `messages[0].content[1].image_url.url`. */
  readonly path: string;
  readonly source: Source;
  /** What the part's type says that it is; a part of type `file` may be anything. */
  readonly kind: FileKind | undefined;
  /** The client's name for it. */
  readonly filename: string | undefined;

  constructor(
    path: string,
    source: Source,
    kind: FileKind | undefined,
    filename: string | undefined = undefined,
  ) {
    this.path = path;
    this.source = source;
    this.kind = kind;
    this.filename = filename;
  }
}

type Part = { type: string; [field: string]: unknown };
type Fields = Readonly<Record<string, unknown>>;

/**
 * The attachment that a content part is; `undefined` for a part of another kind.
 *
 * @param path The part's place: `messages[0].content[1]`.
 * @throws {RouterError} `invalid_request` naming the field that has the wrong form.
 */
export function attachmentOf(part: Part, path: string, call: Call): Attachment | undefined {
  switch (part.type) {
    case "image_url":
      return imageOf(fields(part.image_url), `${path}.image_url`, call);
    case "input_audio": {
      const { data } = fields(part.input_audio);
      if (typeof data === "string") {
        return new Attachment(`${path}.input_audio.data`, { base64: data }, "audio");
      }
      throw refuse(`${path}.input_audio.data`, "must be a recording as base64");
    }
    case "file":
      return fileOf(fields(part.file), `${path}.file`);
    default:
      return undefined;
  }
}

function imageOf({ url, detail }: Fields, path: string, call: Call): Attachment {
  if (typeof url !== "string") {
    throw refuse(
      `${path}.url`,
      'must be an address, or a data URL such as "data:image/png;base64,…"',
    );
  }
  if (detail === "low" || detail === "high") call.changed(`${path}.detail`);
  const source = isData(url) ? dataOf(url, `${path}.url`) : { url };
  return new Attachment(`${path}.url`, source, "image");
}

/** An image of the web, as the client names it. */
export interface WebImage {
  /** As that of its {@linkcode Attachment}. */
  readonly path: string;
  readonly url: string;
  readonly kind: "image";
}

/** The images of users' messages that are named by an address. */
export function webImagesOf({ messages }: ChatBody): WebImage[] {
  const images: WebImage[] = [];
  for (const [at, message] of messages.entries()) {
    const { content } = message;
    if (!Array.isArray(content) || roleOf(message) !== "user") continue;
    for (const [place, part] of content.entries()) {
      const { url } = part.type === "image_url" ? fields(part.image_url) : {};
      if (typeof url !== "string" || isData(url)) continue;
      const path = `messages[${at}].content[${place}].image_url.url`;
      images.push({ path, url, kind: "image" });
    }
  }
  return images;
}

function fileOf({ file_id: id, file_data: data, filename }: Fields, path: string): Attachment {
  if (typeof id === "string" && id !== "") {
    return new Attachment(`${path}.file_id`, { id }, undefined);
  }
  if (typeof data !== "string") {
    throw refuse(path, 'must have "file_data", a data URL, or the "file_id" of an uploaded file');
  }
  const source = isData(data) ? dataOf(data, `${path}.file_data`) : { base64: data };
  const name = typeof filename === "string" ? filename : undefined;
  return new Attachment(`${path}.file_data`, source, undefined, name);
}

function isData(url: string): boolean {
  return /^data:/i.test(url);
}

function dataOf(url: string, path: string): Source {
  // A regular expression over the whole would take long: the rest may be megabytes.
  const comma = url.slice(0, 1024).indexOf(",");
  if (comma < 0 || !/;\s*base64\s*$/i.test(url.slice(0, comma))) {
    throw refuse(path, 'must be a data URL in base64, such as "data:image/png;base64,…"');
  }
  return { base64: url.slice(comma + 1) };
}

function fields(value: unknown): Fields {
  return typeof value === "object" && value !== null ? value as Fields : {};
}
