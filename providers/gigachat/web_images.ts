/**
 * Images of the web, which GigaChat does not fetch itself.
 *
 * @module
 */
import type { ChatBody } from "xrouter/provider";
import { GuardedFetch, UnfetchableError } from "../../core/guarded_fetch.ts";
import { checkNumber, checkSum, fileOf, mostBytesOf } from "./attached_file.ts";
import { type WebImage, webImagesOf } from "./attachment.ts";
import { refuse } from "./fault.ts";
import type { UploadFile } from "./uploads.ts";

/** Milliseconds for fetching one. */
const fetchMs = 15_000;

/** The files that were fetched for a chat, by the fields that name them. */
export type WebFiles = ReadonlyMap<string, UploadFile>;

const guard = new GuardedFetch();

/**
 * What fetches the images that a chat names by their addresses, one after the other; nothing where it
 * names none. It throws a {@linkcode RouterError}, `invalid_request` naming one that cannot be fetched,
 * or that GigaChat cannot take, and the signal's reason, once it fires.
 */
export function fetchImages(
  body: ChatBody,
): ((signal: AbortSignal) => Promise<WebFiles>) | undefined {
  const images = webImagesOf(body);
  return images.length === 0 ? undefined : (signal) => fetchAll(images, signal);
}

async function fetchAll(images: readonly WebImage[], signal: AbortSignal): Promise<WebFiles> {
  checkNumber(images);
  const files = new Map<string, UploadFile>();
  let bytes = 0;
  for (const image of images) {
    const file = fileOf(image, await fetchBytes(image, signal));
    bytes += file.bytes.length;
    checkSum(bytes, image.path);
    files.set(image.path, file);
  }
  return files;
}

async function fetchBytes({ url, path, kind }: WebImage, signal: AbortSignal) {
  try {
    return (await guard.get(url, { bytes: mostBytesOf(kind), ms: fetchMs, signal })).bytes;
  } catch (error) {
    if (error instanceof UnfetchableError) throw refuse(path, error.message);
    throw error;
  }
}
