/**
 * Those who call a router's routes for files.
 *
 * @module
 */
import { KeyStore } from "../../core/store/keys.ts";
import { startRouter, type TestRouter } from "./router.ts";

/** A caller of a router. */
export function callerOf(router: TestRouter, secret: string) {
  const call = async (method: string, path: string, body?: FormData | string, type?: string) => {
    const response = await fetch(`${router.url}${path}`, {
      method,
      headers: { authorization: `Bearer ${secret}`, ...(type && { "content-type": type }) },
      ...(body !== undefined && { body }),
    });
    const text = await response.text();
    let json;
    try {
      json = JSON.parse(text);
    } catch {
      // It is a file.
    }
    return { status: response.status, json, text };
  };
  const upload = (bytes: Uint8Array<ArrayBuffer>, fields: Record<string, string> = {}) => {
    const form = new FormData();
    form.append("file", new Blob([bytes]), "a.png");
    for (const [name, value] of Object.entries(fields)) form.append(name, value);
    return call("POST", "/v1/files", form);
  };
  const chat = (model: string, ...messages: unknown[]) =>
    call("POST", "/v1/chat/completions", JSON.stringify({ model, messages }), "application/json");
  return { call, upload, chat };
}

/** A router, a key of its own, one of somebody else, and an admin key. */
export async function start(env: Record<string, string>) {
  const router = await startRouter(env);
  const keys = new KeyStore(router.program.database);
  const other = await keys.create({ name: "other" });
  const admin = await keys.create({ name: "admin", admin: true });
  return {
    router,
    own: callerOf(router, router.secret),
    other: callerOf(router, other.secret),
    admin: callerOf(router, admin.secret),
    [Symbol.asyncDispose]: () => router[Symbol.asyncDispose](),
  };
}

/** A model of GigaChat. */
export const model = "gigachat/GigaChat-2";
/** A message that names a file as OpenAI's clients do. */
export const byPart = (id: string) => ({
  role: "user",
  content: [{ type: "file", file: { file_id: id } }],
});
/** A message that names a file as GigaChat's clients do. */
export const byField = (id: string) => ({ role: "user", content: "Look", attachments: [id] });
