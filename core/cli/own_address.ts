/**
 * Where a server of this machine is.
 *
 * @module
 */

/** Addresses that listen on all interfaces, and those by which this machine calls them. */
const everywhere: Readonly<Record<string, string>> = { "0.0.0.0": "127.0.0.1", "::": "::1" };

/** The URL of a server. */
export function urlOf(host: string, port: number): string {
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** The URL by which this machine calls a server that listens on `host`. */
export function urlToCall(host: string, port: number): string {
  return urlOf(everywhere[host] ?? host, port);
}
