/**
 * Uploads to a store of files that a test holds in its hand.
 *
 * @module
 */
import type { FileType } from "../../providers/gigachat/file_type.ts";
import { type UploadFile, type UploadLimits, Uploads } from "../../providers/gigachat/uploads.ts";
import { textBytes } from "./files.ts";

const type: FileType = { kind: "document", name: "text", extension: "txt", mime: "text/plain" };

/** A file to upload. */
export const file = (text: string, name?: string): UploadFile => ({
  bytes: textBytes(text),
  type,
  name,
});

/** A store of files that says what it is asked. */
export class UploadStore {
  /** Of the caller. */
  readonly signal = new AbortController().signal;
  readonly asked: string[] = [];
  /** Statuses of the next answers. */
  readonly statuses: number[] = [];
  /** Answers that wait for a word; while it is there, each new one does. */
  held: (() => void)[] | undefined;
  #waiting: (() => void)[] = [];
  #ids = 0;

  readonly send = async (path: string, init?: RequestInit): Promise<Response> => {
    const status = this.statuses.shift() ?? 200;
    const id = `id-${++this.#ids}`;
    this.asked.push(path);
    for (const wake of this.#waiting.splice(0)) wake();
    await new Promise<void>((resolve, reject) => {
      init?.signal?.addEventListener("abort", () => reject(init.signal!.reason));
      if (this.held === undefined) resolve();
      else this.held.push(resolve);
    });
    return Response.json({ id }, { status });
  };

  /** Waits until so many calls have come. */
  async calls(count: number): Promise<void> {
    while (this.asked.length < count) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }
}

const long: UploadLimits = {
  most: 10,
  idleMs: 60_000,
  graceMs: 60_000,
  patienceMs: 60_000,
  closeMs: 60_000,
};

/** Runs with uploads that keep files for a minute, and deletes these. */
export async function withUploads(
  limits: Partial<UploadLimits>,
  run: (uploads: Uploads, store: UploadStore) => Promise<void>,
): Promise<void> {
  const uploads = new Uploads({ ...long, ...limits });
  try {
    await run(uploads, new UploadStore());
  } finally {
    await uploads.close();
  }
}
