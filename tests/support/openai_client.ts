/**
 * The official client, pointed at a router.
 *
 * @module
 */
import OpenAI, { type ClientOptions } from "openai";
import type { TestRouter } from "./router.ts";

/** A question that echo answers with "one two three". */
export const messages = [{ role: "user" as const, content: "one two three" }];

/** The client; it retries nothing unless told to. */
export function clientOf(router: TestRouter, options: ClientOptions = {}): OpenAI {
  return new OpenAI({
    baseURL: `${router.url}/v1`,
    apiKey: router.secret,
    maxRetries: 0,
    ...options,
  });
}
