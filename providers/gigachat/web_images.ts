/**
 * Images of the web, which GigaChat does not fetch itself.
 *
 * @module
 */
import type { ChatBody } from "xrouter/provider";
import { GuardedFetch, UnfetchableError } from "../../core/guarded_fetch.ts";
import { checkNumber, checkSum, fileOf, mostBytesOf, mostBytesTogether } from "./attached_file.ts";
import { type WebImage, webImagesOf } from "./attachment.ts";
import { refuse } from "./fault.ts";
import type { UploadFile } from "./uploads.ts";

/** Milliseconds for fetching one. */
const fetchMs = 15_000;

/** The files that were fetched for a chat, by the fields that name them. */
export type WebFiles = ReadonlyMap<string, UploadFile>;

const guard = new GuardedFetch();

/**
 * What fetches the images that a chat names by their addresses; nothing where it names none. It throws
 * a {@linkcode RouterError}, `invalid_request` naming one that cannot be fetched, or that GigaChat
 * cannot take, and the signal's reason, once it fires.
 */
export function fetchImages(
  body: ChatBody,
): ((signal: AbortSignal) => Promise<WebFiles>) | undefined {
  const images = webImagesOf(body);
  return images.length === 0 ? undefined : (signal) => fetchAll(images, signal);
}

/**
 * Fetches as many at once as a request may have bytes in memory, were all of them as long as GigaChat
 * takes; further ones as it turns out that they are shorter.
 */
async function fetchAll(images: readonly WebImage[], signal: AbortSignal): Promise<WebFiles> {
  checkNumber(images);
  const files = new Map<string, UploadFile>();
  const running = new Set<Promise<unknown>>();
  const over = new AbortController();
  const ending = AbortSignal.any([signal, over.signal]);
  /** Those that are here, and those that may still come. */
  let bytes = 0;
  let expected = 0;
  const fetchOne = async (image: WebImage, most: number) => {
    const file = fileOf(image, await fetchBytes(image, most, ending));
    expected -= most;
    bytes += file.bytes.length;
    checkSum(bytes, image.path);
    files.set(image.path, file);
  };
  try {
    for (const image of images) {
      const most = mostBytesOf(image.kind);
      while (running.size > 0 && bytes + expected + most > mostBytesTogether) {
        await Promise.race(running);
      }
      expected += most;
      // One that failed stays, so that nobody misses it.
      const fetching: Promise<boolean> = fetchOne(image, most).then(() => running.delete(fetching));
      running.add(fetching);
    }
    await Promise.all(running);
    return files;
  } finally {
    over.abort();
    await Promise.allSettled(running);
  }
}

async function fetchBytes({ url, path }: WebImage, most: number, signal: AbortSignal) {
  try {
    return (await guard.get(url, { bytes: most, ms: fetchMs, signal })).bytes;
  } catch (error) {
    if (error instanceof UnfetchableError) throw refuse(path, error.message);
    throw error;
  }
}
