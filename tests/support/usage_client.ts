/**
 * What a key is told of its usage.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { KeyStore } from "../../core/store/keys.ts";
import type { TestRouter } from "./router.ts";

/** Asks for a path under `/v1/` with any key, and expects a status. @returns JSON, or text. */
export async function get(
  router: TestRouter,
  path: string,
  { secret = router.secret, status = 200 } = {},
) {
  const response = await fetch(`${router.url}/v1/${path}`, {
    headers: { authorization: `Bearer ${secret}` },
  });
  const text = await response.text();
  assertEquals(response.status, status, `${path}: ${text}`);
  return text.startsWith("{") ? JSON.parse(text) : text;
}

/** What a refusal says. */
export async function refusal(
  router: TestRouter,
  path: string,
  status: number,
  secret = router.secret,
): Promise<{ message: string; code: string; param: string | null }> {
  const { error } = await get(router, path, { secret, status });
  return error;
}

/** Makes another key. */
export async function makeKey(router: TestRouter, name: string, rest: object = {}) {
  const { key, secret } = await new KeyStore(router.program.database).create({ name, ...rest });
  return { id: key.id, secret };
}
