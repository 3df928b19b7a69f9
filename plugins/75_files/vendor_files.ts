/**
 * The providers' own stores of files.
 *
 * @module
 */
import { type Catalog, type Log, RouterError } from "xrouter/plugin";
import { faultByStatus, readVendorMessage } from "../../core/fault.ts";
import type { Transport } from "../../core/transport.ts";
import type { OwnFile } from "./file_store.ts";
import type { Upload } from "./upload_form.ts";

/** Milliseconds that a call may take. */
const callMs = 120_000;

/** Bytes of a refusal that are read. */
const mostErrorBytes = 64 * 1024;

/** Calls the providers. */
export class VendorFiles {
  readonly #catalog: Catalog;
  readonly #log: Log;

  constructor(catalog: Catalog, log: Log) {
    this.#catalog = catalog;
    this.#log = log;
  }

  /**
   * Uploads a file.
   *
   * @throws {RouterError} `invalid_request` where no such provider keeps files, or it refuses this
   * one; otherwise what the refusal means.
   */
  async upload({ file, purpose, provider }: Upload): Promise<OwnFile> {
    const transport = this.#choose(provider);
    const { files, name } = transport;
    const bytes = await file.bytes();
    const type = files!.contentType?.(bytes) ?? file.type;
    const form = new FormData();
    form.append("file", new Blob([bytes], { type }), file.name);
    form.append("purpose", files!.purpose ?? purpose);
    // Not the client's signal: what the vendor has taken must be noted, whether it waits or not.
    const signal = AbortSignal.timeout(callMs);
    const sent = await transport.send("/files", { method: "POST", body: form, signal });
    const { response, account } = sent;
    if (!response.ok) throw await this.#fault(name, sent);
    const json: unknown = await response.json().catch(() => undefined);
    const { id } = (json ?? {}) as { id?: unknown };
    if (typeof id !== "string" || !/^[\w.-]{1,256}$/.test(id)) {
      throw new RouterError(
        "upstream_unavailable",
        `Provider "${name}" took the file and gave it no id`,
        { detail: sent.redact(JSON.stringify(json) ?? "").slice(0, 500) },
      );
    }
    const createdAt = Date.now();
    return {
      provider: name,
      id,
      account,
      filename: file.name,
      bytes: bytes.length,
      purpose,
      createdAt,
    };
  }

  /**
   * The bytes of a file.
   *
   * @throws {RouterError} `not_found` where the vendor has it no more.
   */
  async content(file: OwnFile, signal: AbortSignal): Promise<ReadableStream<Uint8Array> | null> {
    const transport = this.#ownerOf(file);
    const either = AbortSignal.any([signal, AbortSignal.timeout(callMs)]);
    const path = `/files/${file.id}/content`;
    const sent = await transport.send(path, { signal: either }, file.account);
    const { response } = sent;
    if (response.ok) return response.body;
    if (response.status !== 404) throw await this.#fault(file.provider, sent);
    await response.body?.cancel();
    throw new RouterError("not_found", `Provider "${file.provider}" has no content of this file`);
  }

  /** Deletes a file. One that is gone already is as good as deleted. */
  async remove(file: OwnFile): Promise<void> {
    const transport = this.#ownerOf(file);
    const { method, path } = transport.files?.deletion?.(file.id) ??
      { method: "DELETE", path: `/files/${file.id}` };
    const init = { method, signal: AbortSignal.timeout(callMs) };
    const sent = await transport.send(path, init, file.account);
    const { response } = sent;
    if (!response.ok && response.status !== 404) throw await this.#fault(file.provider, sent);
    await response.body?.cancel();
  }

  async #fault(
    provider: string,
    { response, redact }: Awaited<ReturnType<Transport["send"]>>,
  ): Promise<RouterError> {
    const error = toFault(provider, response, redact(await readText(response)));
    const { code, detail } = error;
    this.#log.warn("a provider refused a call for files", { provider, code, detail });
    return error;
  }

  /** The provider that a client names, or the only one there is. */
  #choose(name: string | undefined): Transport {
    const all = [...this.#catalog.providers.values()]
      .filter(({ files, missing }) => files !== undefined && missing === undefined);
    const [first] = name === undefined ? all : all.filter((each) => each.name === name);
    if (first !== undefined && (name !== undefined || all.length === 1)) return first;
    const names = all.map((each) => `"${each.name}"`).join(", ");
    throw new RouterError(
      "invalid_request",
      all.length === 0
        ? "No configured provider keeps files"
        : `"provider" must be one of those that keep files: ${names}`,
      { param: "provider" },
    );
  }

  #ownerOf({ provider }: OwnFile): Transport {
    const transport = this.#catalog.providers.get(provider);
    if (transport?.files !== undefined && transport.missing === undefined) return transport;
    throw new RouterError("upstream_rejected", `Provider "${provider}" keeps no files any more`);
  }
}

/** What a refusal means. What the vendor says of the file itself is for the client. */
function toFault(provider: string, { status, headers }: Response, text: string): RouterError {
  const detail = `HTTP ${status} ${text.slice(0, 500)}`;
  if ([400, 413, 415, 422].includes(status)) {
    const { message } = readVendorMessage(text);
    const said = message === undefined ? "" : `: ${message}`;
    return new RouterError("invalid_request", `Provider "${provider}" refuses the file${said}`, {
      param: "file",
      detail,
    });
  }
  if (status === 404) {
    return new RouterError("upstream_rejected", `Provider "${provider}" takes no files`, {
      detail,
    });
  }
  return faultByStatus(provider, status, text, headers);
}

async function readText(response: Response): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const part of response.body ?? []) {
    text += decoder.decode(part, { stream: true });
    if (text.length > mostErrorBytes) break;
  }
  return text;
}
