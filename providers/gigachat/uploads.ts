/**
 * Files that were uploaded to GigaChat for requests: each once while it is in use, and deleted
 * afterwards. GigaChat itself keeps what it gets for ever.
 *
 * @module
 */
import { type Call, RouterError, type Wire } from "xrouter/provider";
import { createHash } from "node:crypto";
import { faultByStatus, readVendorMessage } from "../../core/fault.ts";
import { unlessAborted } from "../../core/unless_aborted.ts";
import type { FileType } from "./file_type.ts";
import { SharedUpload } from "./shared_upload.ts";
import { withoutTokens } from "./vendor_words.ts";

/** Milliseconds that an upload, or a deletion, may take. */
const uploadMs = 60_000;

/** Bytes that an upload is given a millisecond more for, until it counts as one that hangs. */
const bytesPerMs = 1000;

/** How often a deletion is tried. */
const mostTries = 3;

/** How much is kept, and how long. */
export interface UploadLimits {
  /** Files that are kept for the next request; the one that was used longest ago makes room. */
  readonly most: number;
  /** Milliseconds after its last use for which a file is kept for the next request. */
  readonly idleMs: number;
  /** Milliseconds after its last use for which a file that made room may still be read. */
  readonly graceMs: number;
  /** Milliseconds after which a request waits no longer for another's upload of the same small file. */
  readonly patienceMs: number;
  /** Milliseconds that all deletions at a stop may take. */
  readonly closeMs: number;
}

const usualLimits: UploadLimits = {
  most: 200,
  idleMs: 30 * 60_000,
  graceMs: 10 * 60_000,
  patienceMs: 5_000,
  closeMs: 5_000,
};

/** A file to upload. */
export interface UploadFile {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly type: FileType;
  /** The client's name for it, which the model may read; only documents have one. */
  readonly name: string | undefined;
}

interface Entry {
  readonly upload: SharedUpload;
  /** By `performance.now()`. */
  usedAt: number;
}

type Send = Wire["send"];

/** The uploads of one account. */
export class Uploads {
  readonly #limits: UploadLimits;
  /** By the files' digests, the one that was used longest ago first. */
  readonly #entries = new Map<string, Entry>();
  /** Those that made room. */
  #leaving: Entry[] = [];
  #send: Send | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Breaks off what is under way. */
  readonly #closed = new AbortController();

  constructor(limits: UploadLimits = usualLimits) {
    this.#limits = limits;
  }

  /**
   * The id of a file at GigaChat. Requests that bring the same bytes share one upload, as long as it
   * does not hang.
   *
   * @param signal Ends the waiting. The upload goes on for others.
   * @returns The id, and the digest to {@linkcode Uploads.forget} it by.
   * @throws {RouterError} `invalid_request` where GigaChat refuses the file.
   */
  async upload(
    file: UploadFile,
    { send, signal }: Pick<Call, "send" | "signal">,
  ): Promise<{ id: string; digest: string }> {
    signal.throwIfAborted();
    const digest = digestOf(file);
    const entry = this.#entries.get(digest) ?? this.#expect(digest, file.bytes.length);
    entry.usedAt = performance.now();
    this.#entries.delete(digest);
    this.#entries.set(digest, entry);
    this.#send = send;
    this.#makeRoom();
    this.#schedule();
    const begin = () => uploadFile(file, send, this.#closed.signal);
    return { id: await entry.upload.wait(begin, signal), digest };
  }

  #expect(digest: string, bytes: number): Entry {
    const patienceMs = this.#limits.patienceMs + bytes / bytesPerMs;
    const upload = new SharedUpload(patienceMs, (id) => this.#removeLater(Promise.resolve(id)));
    const entry = { upload, usedAt: 0 };
    upload.id.catch(() => {
      if (this.#entries.get(digest) === entry) this.#entries.delete(digest);
    });
    return entry;
  }

  /** Has a file uploaded again when it is needed next: GigaChat may not have it any more. */
  forget(digest: string): void {
    const entry = this.#entries.get(digest);
    if (entry === undefined) return;
    this.#entries.delete(digest);
    this.#leaving.push(entry);
  }

  /** Deletes every file, as far as there is time. What is still under way then is broken off. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const all = [...this.#entries.values(), ...this.#leaving];
    this.#entries.clear();
    this.#leaving = [];
    const signal = AbortSignal.timeout(this.#limits.closeMs);
    await Promise.all(all.map(({ upload }) => this.#remove(upload.id, 1, signal)));
    this.#closed.abort();
  }

  #makeRoom(): void {
    for (const [digest, entry] of this.#entries) {
      if (this.#entries.size <= this.#limits.most) return;
      this.#entries.delete(digest);
      this.#leaving.push(entry);
    }
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#entries.size + this.#leaving.length === 0) return;
    const { idleMs, graceMs } = this.#limits;
    this.#timer = setTimeout(() => this.#sweep(), Math.min(idleMs, graceMs));
  }

  /** Deletes what nobody has used for a while. */
  #sweep(): void {
    const now = performance.now();
    for (const [digest, { usedAt }] of this.#entries) {
      if (now - usedAt >= this.#limits.idleMs) this.forget(digest);
    }
    const isOver = ({ usedAt }: Entry) => now - usedAt >= this.#limits.graceMs;
    const over = this.#leaving.filter(isOver);
    this.#leaving = this.#leaving.filter((entry) => !isOver(entry));
    for (const { upload } of over) this.#removeLater(upload.id);
    this.#timer = undefined;
    this.#schedule();
  }

  /** Nobody waits for it. */
  #removeLater(id: Promise<string>): void {
    void this.#remove(id, mostTries, AbortSignal.timeout(uploadMs));
  }

  async #remove(id: Promise<string>, tries: number, signal: AbortSignal): Promise<void> {
    try {
      const path = `/files/${await unlessAborted(id, signal)}/delete`;
      const response = await this.#send!(path, { method: "POST", signal });
      await response.body?.cancel();
      if (response.status < 500) return;
    } catch {
      // What could not be uploaded need not be deleted, and is gone from the map.
    }
    if (tries > 1) await this.#remove(id, tries - 1, signal);
  }
}

const accounts = new WeakMap<object, Uploads>();

/** The uploads of the account that has these settings. */
export function uploadsOf(settings: object): Uploads {
  const uploads = accounts.get(settings) ?? new Uploads();
  accounts.set(settings, uploads);
  return uploads;
}

function digestOf({ bytes, type, name }: UploadFile): string {
  return createHash("sha256").update(bytes).update(`\0${type.extension}\0${name ?? ""}`)
    .digest("hex");
}

async function uploadFile(
  { bytes, type, name }: UploadFile,
  send: Send,
  closed: AbortSignal,
): Promise<string> {
  const form = new FormData();
  form.append("file", new Blob([bytes], { type: type.mime }), name ?? `file.${type.extension}`);
  form.append("purpose", "general");
  // Several requests may wait for it, so that it ends with none of them.
  const signal = AbortSignal.any([AbortSignal.timeout(uploadMs), closed]);
  const response = await send("/files", { method: "POST", body: form, signal });
  const text = await response.text();
  if (!response.ok) throw uploadFault(response, withoutTokens(text));
  try {
    const { id } = JSON.parse(text) as { id?: unknown };
    // It becomes a part of addresses.
    if (typeof id === "string" && /^[\w.-]+$/.test(id)) return id;
  } catch {
    // It is told below.
  }
  throw new RouterError("upstream_unavailable", "GigaChat took a file and gave it no id", {
    detail: withoutTokens(text).slice(0, 500),
  });
}

function uploadFault({ status, headers }: Response, text: string): RouterError {
  const detail = `POST /files: HTTP ${status} ${text.slice(0, 500)}`;
  if ([400, 413, 415, 422].includes(status)) {
    const { message } = readVendorMessage(text);
    const said = message === undefined ? "" : `: ${message}`;
    return new RouterError("invalid_request", `is refused by GigaChat${said}`, { detail });
  }
  return status === 404
    ? new RouterError("upstream_rejected", "GigaChat does not take files here", { detail })
    : faultByStatus("gigachat", status, text, headers);
}
