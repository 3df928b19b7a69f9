/**
 * Fetching what a client names. An address that XRouter can reach and the client cannot (the
 * machine itself, the network around it, a cloud's metadata) must not be reached for the client.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { lookup } from "node:dns/promises";
import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from "node:http";
import { Agent as HttpsAgent, request as requestHttps, type RequestOptions } from "node:https";
import { isIP } from "node:net";
import { isPublicAddress } from "./public_address.ts";
import { unlessAborted } from "./unless_aborted.ts";

/** Redirects that are followed. */
const mostRedirects = 3;

/** Any other agent may be led to a proxy by `NODE_USE_ENV_PROXY`. */
const noProxy = { keepAlive: false, proxyEnv: {} };

/** An address longer than this is none. */
const longestUrl = 8 * 1024;

/** Why something cannot be fetched. The text goes on after a field's name: `must be …`. */
export class UnfetchableError extends Error {
  override readonly name = "UnfetchableError";
}

/** What was fetched. */
export interface Fetched {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** What the server says that it is, in lower case and without parameters; may be empty. */
  readonly contentType: string;
}

/** How far one fetch may go. */
export interface FetchLimits {
  /** The most bytes of the body. */
  readonly bytes: number;
  /** Milliseconds for all of it, redirects included. */
  readonly ms: number;
  /** Ends the fetch; it then rejects with the signal's reason. */
  readonly signal: AbortSignal;
}

/** What the guard stands on. */
export interface GuardOptions {
  /** The addresses of a host; by default those that the machine's resolver gives. */
  readonly resolve?: (host: string) => Promise<readonly string[]>;
  /** Whether an address may be connected to; by default only public ones may. */
  readonly isAllowed?: (address: string) => boolean;
  /** The ports that may be connected to. */
  readonly ports?: readonly number[];
  /** Certificate authorities beside the usual ones, in PEM. */
  readonly authorities?: readonly string[];
}

type Address = { address: string; family: number };

/**
 * Fetches by `http` and `https` from public addresses only. A host is resolved once, every address
 * that it has is checked, and the connection goes to just these, so that a name which changes its
 * address between the check and the connection gains nothing. No proxy of the environment is used:
 * it would resolve the name by itself.
 */
export class GuardedFetch {
  readonly #resolve: (host: string) => Promise<readonly string[]>;
  readonly #isAllowed: (address: string) => boolean;
  readonly #ports: readonly number[];
  readonly #authorities: readonly string[] | undefined;

  constructor(options: GuardOptions = {}) {
    this.#resolve = options.resolve ?? resolveByMachine;
    this.#isAllowed = options.isAllowed ?? isPublicAddress;
    this.#ports = options.ports ?? [80, 443];
    this.#authorities = options.authorities;
  }

  /**
   * Gets a body. Neither cookies nor credentials are sent, and a compressed body is refused.
   *
   * @throws {UnfetchableError} The reason, fit for the client: it tells nothing of the network here.
   */
  async get(address: string, { bytes, ms, signal }: FetchLimits): Promise<Fetched> {
    const deadline = AbortSignal.timeout(ms);
    const either = AbortSignal.any([signal, deadline]);
    try {
      let url = this.#check(address);
      for (let redirects = 0;; redirects++) {
        const response = await this.#request(url, either);
        try {
          const next = redirectOf(response, url);
          if (next === undefined) return await readBody(response, bytes, either);
          if (redirects === mostRedirects) {
            throw new UnfetchableError(`redirects more than ${mostRedirects} times. Send the last`);
          }
          url = this.#check(next);
        } finally {
          response.destroy();
        }
      }
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      if (deadline.aborted) {
        throw new UnfetchableError(`cannot be fetched within ${ms / 1000} seconds`);
      }
      if (error instanceof UnfetchableError) throw error;
      // The network's own words may tell of addresses.
      throw new UnfetchableError("cannot be fetched: the connection fails", { cause: error });
    }
  }

  #check(address: string): URL {
    const url = address.length <= longestUrl ? URL.parse(address) : null;
    if (url === null) throw new UnfetchableError("is not a URL that can be fetched");
    if (url.protocol !== "http:" && url.protocol !== "https:") {
      throw new UnfetchableError("must begin with https:// or http://");
    }
    if (url.username !== "" || url.password !== "") {
      throw new UnfetchableError("must not hold a user or a password");
    }
    const port = Number(url.port) || (url.protocol === "https:" ? 443 : 80);
    if (!this.#ports.includes(port)) {
      throw new UnfetchableError(`must have one of the ports ${this.#ports.join(", ")}`);
    }
    return url;
  }

  /** The addresses of a host, all of them checked. */
  async #addresses(host: string): Promise<Address[]> {
    const none = new UnfetchableError("leads to a host without a public address");
    const found = isIP(host) ? [host] : await this.#resolve(host).catch(() => []);
    // One address that is not public is enough: no honest host has both.
    if (found.length === 0 || !found.every((each) => this.#isAllowed(each))) throw none;
    return found.map((each) => ({ address: each, family: isIP(each) }));
  }

  /** Sends the request to a checked address and waits for the head of the answer. */
  async #request(url: URL, signal: AbortSignal): Promise<IncomingMessage> {
    const host = url.hostname.replace(/^\[|\]$/g, "");
    const addresses = await unlessAborted(this.#addresses(host), signal);
    const options: RequestOptions = {
      agent: url.protocol === "https:" ? new HttpsAgent(noProxy) : new HttpAgent(noProxy),
      headers: { "accept": "*/*", "accept-encoding": "identity", "user-agent": "xrouter" },
      // The only resolver that the connection knows, and it knows only what was checked.
      lookup: (_host, { all }, answer) =>
        all
          ? answer(null, addresses as never)
          : answer(null, addresses[0]!.address, addresses[0]!.family),
      signal,
      ...(this.#authorities && { ca: [...this.#authorities] }),
    };
    const send = url.protocol === "https:" ? requestHttps : requestHttp;
    return await new Promise<IncomingMessage>((resolve, reject) => {
      const request = send(url, options, resolve);
      // What fails after the answer's head is seen by whoever reads the answer.
      request.on("error", reject);
      request.end();
    });
  }
}

async function resolveByMachine(host: string): Promise<string[]> {
  return (await lookup(host, { all: true })).map(({ address }) => address);
}

/** Where an answer leads instead; `undefined` when it is the answer itself. */
function redirectOf({ statusCode = 0, headers }: IncomingMessage, from: URL): string | undefined {
  if ([301, 302, 303, 307, 308].includes(statusCode) && headers.location !== undefined) {
    return URL.parse(headers.location, from)?.href ?? headers.location;
  }
  if (statusCode === 200) return undefined;
  throw new UnfetchableError(`cannot be fetched: its server answers HTTP ${statusCode}`);
}

async function readBody(
  response: IncomingMessage,
  limit: number,
  signal: AbortSignal,
): Promise<Fetched> {
  const { headers } = response;
  const tooLong = () =>
    new UnfetchableError(`must lead to at most ${limit} bytes; its server sends more`);
  const encoding = headers["content-encoding"] ?? "identity";
  if (encoding !== "identity") {
    throw new UnfetchableError("cannot be fetched: its server sends it compressed, unasked");
  }
  if (Number(headers["content-length"]) > limit) throw tooLong();
  const parts: Uint8Array[] = [];
  let length = 0;
  const read = async () => {
    for await (const part of response as AsyncIterable<Uint8Array>) {
      length += part.length;
      if (length > limit) throw tooLong();
      parts.push(part);
    }
  };
  await unlessAborted(read(), signal);
  if (!response.complete) throw new UnfetchableError("cannot be fetched: the answer breaks off");
  return {
    bytes: new Uint8Array(Buffer.concat(parts, length)),
    contentType: (headers["content-type"] ?? "").split(";", 1)[0]!.trim().toLowerCase(),
  };
}
