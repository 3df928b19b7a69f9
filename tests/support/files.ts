/** Small files of many formats, and how chats bring them. */

const encoder = new TextEncoder();

/** Bytes of a text, of which each character is one byte. */
export function bytesOf(latin1: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(latin1, (character) => character.charCodeAt(0));
}

/** Bytes of a text in UTF-8. */
export function textBytes(text: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(text);
}

/** A picture to the eyes of whoever looks at its first bytes; `name` makes it another one. */
export function png(name = "", length = 0): Uint8Array<ArrayBuffer> {
  const beginning = bytesOf(`\x89PNG\r\n\x1a\n${name}`);
  const bytes = new Uint8Array(Math.max(length, beginning.length));
  bytes.set(beginning);
  return bytes;
}

/** A data URL. */
export function dataUrl(bytes: Uint8Array, type = "image/png"): string {
  return `data:${type};base64,${bytes.toBase64()}`;
}

/** A part of a message. */
export function imagePart(url: string) {
  return { type: "image_url" as const, image_url: { url } };
}

/** A part of a message. */
export function filePart(bytes: Uint8Array, filename: string, type = "application/pdf") {
  return { type: "file" as const, file: { filename, file_data: dataUrl(bytes, type) } };
}

/** A part of a message. */
export function textPart(text: string) {
  return { type: "text" as const, text };
}
