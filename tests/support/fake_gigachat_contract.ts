/**
 * Holds all that is said between XRouter and the fake GigaChat to the published OpenAPI file: the
 * requests that the fake takes, and the answers that it gives to them.
 */
import { differences, exceptionsOf, type SchemaName } from "./fake_gigachat_schema.ts";

/** The schemas of each path's request and answer; v2 has no published file. */
export const paths: Readonly<Record<string, { request?: SchemaName; answer?: SchemaName }>> = {
  "POST /api/v2/oauth": { request: "TokenBody", answer: "Token" },
  "POST /v1/chat/completions": { request: "Chat", answer: "ChatCompletion" },
  "POST /v1/embeddings": { request: "EmbeddingsBody", answer: "Embedding" },
  "POST /v1/tokens/count": { request: "TokensCountBody", answer: "TokensCount" },
  "GET /v1/models": { answer: "Models" },
  "GET /v1/balance": { answer: "Balance" },
  "GET /v1/files": { answer: "Files" },
  "POST /v1/files": { request: "FileUpload", answer: "File" },
  "GET /v1/files/{file}": { answer: "File" },
  "POST /v1/files/{file}/delete": { answer: "FileDeleted" },
};

/** Collects what breaks the file. */
export class Contract {
  /** The exchanges that were checked, such as `GET /v1/models`. */
  readonly checked = new Set<string>();
  /** The exceptions that were needed. */
  readonly excepted = new Set<string>();
  readonly #broken = new Set<string>();

  /**
   * Checks an exchange.
   *
   * @param request The body, or the fields of a form.
   * @param answer The JSON of an answer.
   */
  check(
    call: { method: string; path: string; status: number },
    request: unknown,
    answer: unknown,
  ): void {
    const { method, path, status } = call;
    const name = `${method} ${path.replace(/(?<=^\/v1\/files\/)[^/]+/, "{file}")}`;
    const known = paths[name];
    if (known === undefined) return;
    this.checked.add(name);
    if (status !== 200) {
      // The file says nothing of what stands in a 400 of OAuth.
      if (answer === "") return;
      return this.#add(path.endsWith("/oauth") ? "AuthError" : "Error", answer);
    }
    if (known.request !== undefined) this.#add(known.request, request);
    if (known.answer !== undefined && answer !== undefined) this.#add(known.answer, answer);
  }

  /** Checks an event of a stream. */
  event(data: string): void {
    this.#add("ChatCompletionEvent", JSON.parse(data));
  }

  /** @throws {Error} when the file was broken, on either side. */
  verify(): void {
    if (this.#broken.size === 0) return;
    const found = [...this.#broken].join("\n");
    throw new Error(`GigaChat's published OpenAPI file is broken:\n${found}`);
  }

  #add(schema: SchemaName, value: unknown): void {
    for (const found of differences(schema, value)) this.#broken.add(found);
    for (const each of exceptionsOf(schema, value)) this.excepted.add(each);
  }
}

/** What a request brings: JSON, or the fields of a form. */
export async function fieldsOf(
  request: Request,
  bytes: Uint8Array<ArrayBuffer>,
  body: unknown,
): Promise<unknown> {
  const type = request.headers.get("content-type") ?? "";
  if (!/^multipart\/form-data|^application\/x-www-form/.test(type)) return body;
  const form = await new Response(bytes, { headers: { "content-type": type } }).formData();
  return Object.fromEntries(
    [...form].map((
      [name, value],
    ) => [name, typeof value === "string" ? value : `${value.size} bytes`]),
  );
}
