/**
 * A site for the guarded fetch, on the loopback.
 *
 * @module
 */
import { assertRejects } from "@std/assert";
import { GuardedFetch, type GuardOptions, UnfetchableError } from "../../core/guarded_fetch.ts";

/** A thousand bytes, five seconds. */
export const limits = { bytes: 1_000, ms: 5_000, signal: new AbortController().signal };

/** A server on the loopback and a guard that may reach it, by the name `site.test` too. */
export async function withSite(
  handler: (request: Request) => Response | Promise<Response>,
  run: (url: string, guard: GuardedFetch, port: number) => Promise<void>,
  options: GuardOptions = {},
): Promise<void> {
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, handler);
  const { port } = server.addr;
  const guard = new GuardedFetch({
    resolve: () => Promise.resolve(["127.0.0.1"]),
    isAllowed: (address) => address === "127.0.0.1",
    ports: [port, 80],
    ...options,
  });
  try {
    await run(`http://site.test:${port}`, guard, port);
  } finally {
    await server.shutdown();
  }
}

/** Fetches what must be refused with these words. */
export function refused(guard: GuardedFetch, url: string, words: string, given = limits) {
  return assertRejects(() => guard.get(url, given), UnfetchableError, words);
}
