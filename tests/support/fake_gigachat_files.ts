/**
 * The fake GigaChat's store of files, as strict as the documents say the real one is: a form with a
 * file and the purpose "general", formats by content, sizes by format, deletion by POST.
 */
import { refuse } from "./fake_gigachat_fault.ts";
import type { FakeChat, Refusal } from "./fake_gigachat_rules.ts";

/** A file in the store. */
export interface FakeFile {
  readonly id: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly filename: string;
  /** What its part of the form said. */
  readonly type: string;
  readonly kind: "image" | "audio" | "text";
  readonly createdAt: number;
  /** Whoever has sent this `X-Client-ID`, and nobody else, may read it. */
  readonly clientId: string | null;
}

const megabyte = 1024 * 1024;
const sizes = { image: 15 * megabyte, audio: 35 * megabyte, text: 40 * megabyte };

/** How files of each type begin, by the type that the form must give. */
const types: Readonly<Record<string, { kind: FakeFile["kind"]; begins: RegExp }>> = {
  "image/jpeg": { kind: "image", begins: /^\xff\xd8\xff/ },
  "image/png": { kind: "image", begins: /^\x89PNG\r\n/ },
  "image/tiff": { kind: "image", begins: /^(II\*\0|MM\0\*)/ },
  "image/bmp": { kind: "image", begins: /^BM/ },
  "audio/mpeg": { kind: "audio", begins: /^(ID3|\xff)/ },
  "audio/mp4": { kind: "audio", begins: /^....ftyp/s },
  "audio/x-m4a": { kind: "audio", begins: /^....ftypM4A/s },
  "audio/wav": { kind: "audio", begins: /^RIFF....WAVE/s },
  "audio/webm": { kind: "audio", begins: /^.E\xdf\xa3/ },
  "audio/ogg": { kind: "audio", begins: /^OggS/ },
  "audio/opus": { kind: "audio", begins: /^OggS/ },
  "text/plain": { kind: "text", begins: /^[^\0]/ },
  "application/pdf": { kind: "text", begins: /^%PDF-/ },
  "application/msword": { kind: "text", begins: /^\xd0\xcf/ },
  "application/epub+zip": { kind: "text", begins: /^PK/ },
};

/** Keeps files. */
export class FakeFiles {
  /** The files that are there, by id. */
  readonly stored = new Map<string, FakeFile>();
  /** How many were ever uploaded. */
  uploads = 0;
  /** Ids of those that were deleted, oldest first. */
  readonly deleted: string[] = [];

  /** Puts a file there that GigaChat made itself, such as an image. @returns Its id. */
  make(bytes: Uint8Array<ArrayBuffer>, clientId: string | null = null): string {
    return this.#store({
      bytes,
      filename: "image.jpg",
      type: "image/jpg",
      kind: "image",
      clientId,
    }).id;
  }

  /** Answers under `/v1/files`; `undefined` where there is nothing. */
  async answer(
    { method, headers }: Request,
    path: string,
    body: Uint8Array<ArrayBuffer>,
  ): Promise<Response | undefined> {
    const [, id, action] = /^\/v1\/files(?:\/([^/]+))?(?:\/([^/]+))?$/.exec(path) ?? [];
    if (id === undefined) {
      if (method === "GET") return Response.json({ data: [...this.stored.values()].map(describe) });
      return method === "POST" ? await this.#upload(headers, body) : undefined;
    }
    const found = this.stored.get(id);
    const call = action === undefined ? method : `${method} ${action}`;
    if (!["GET", "GET content", "POST delete"].includes(call)) return undefined;
    if (found === undefined || found.clientId !== headers.get("x-client-id")) {
      return refuse(404, "No such file");
    }
    if (action === undefined) return Response.json(describe(found));
    if (action === "content") {
      return new Response(found.bytes, { headers: { "content-type": "application/octet-stream" } });
    }
    this.stored.delete(id);
    this.deleted.push(id);
    return Response.json({ id, deleted: true, access_policy: "private" });
  }

  /** What is wrong with a chat's attachments. */
  refusal({ messages }: FakeChat, clientId: string | null): Refusal | undefined {
    let images = 0;
    for (const { role, attachments } of messages) {
      const ids = (attachments ?? []) as string[];
      if (ids.length === 0) continue;
      if (role !== "user") {
        return { status: 422, message: "Invalid params: attachments are for user messages" };
      }
      const files = ids.map((id) => this.stored.get(id));
      if (files.some((file) => file === undefined || file.clientId !== clientId)) {
        return { status: 404, message: "No such file" };
      }
      const pictures = files.filter((file) => file!.kind === "image").length;
      images += pictures;
      if (pictures > 1) {
        return { status: 422, message: "Invalid params: only one image in a message" };
      }
    }
    return images > 10
      ? { status: 422, message: "Invalid params: only 10 images in a request" }
      : undefined;
  }

  async #upload(headers: Headers, body: Uint8Array<ArrayBuffer>): Promise<Response> {
    const type = headers.get("content-type") ?? "";
    if (!type.startsWith("multipart/form-data; boundary=")) {
      return refuse(400, "request Content-Type isn't multipart/form-data");
    }
    const form = await new Response(body, { headers: { "content-type": type } }).formData();
    const file = form.get("file");
    if (!(file instanceof File)) return refuse(400, "http: no such file");
    if (form.get("purpose") !== "general") return refuse(400, "Invalid purpose");
    const fields = [...form.keys()].sort().join();
    if (fields !== "file,purpose") return refuse(400, `Unknown fields: ${fields}`);
    const known = types[file.type] ??
      (file.type.startsWith("application/vnd.") ? { kind: "text", begins: /^(PK|\xd0)/ } : null);
    const bytes = await file.bytes();
    const beginning = String.fromCharCode(...bytes.subarray(0, 32));
    if (!known?.begins.test(beginning)) return refuse(400, `Unsupported file type: ${file.type}`);
    if (bytes.length > sizes[known.kind as FakeFile["kind"]]) {
      return refuse(413, "Payload too large");
    }
    this.uploads++;
    return Response.json(describe(this.#store({
      bytes,
      filename: file.name,
      type: file.type,
      kind: known.kind as FakeFile["kind"],
      clientId: headers.get("x-client-id"),
    })));
  }

  #store(file: Omit<FakeFile, "id" | "createdAt">): FakeFile {
    const stored = { ...file, id: crypto.randomUUID(), createdAt: Math.floor(Date.now() / 1000) };
    this.stored.set(stored.id, stored);
    return stored;
  }
}

function describe({ id, bytes, createdAt, filename, kind }: FakeFile): Record<string, unknown> {
  return {
    id,
    object: "file",
    bytes: bytes.length,
    created_at: createdAt,
    filename,
    purpose: "general",
    access_policy: "private",
    modalities: [kind],
  };
}
