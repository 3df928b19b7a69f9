/**
 * The HTTP of one account of a vendor: its client, its sign-in, and what the provider's methods get of
 * them.
 *
 * @module
 */
import { RouterError, withTexts } from "./errors.ts";
import type { Provider, Wire } from "./provider.ts";
import { type Authorize, authorizeOf } from "./sign_in.ts";
import { fill } from "./template.ts";
import { unlessAborted } from "./unless_aborted.ts";
import type { VendorFaults } from "./vendor_faults.ts";
import type { VendorModule } from "./vendor_module.ts";

/** Milliseconds for a provider's side calls, such as signing in. */
const sideCallTimeout = 20_000;

const userAgent = "xrouter";

/** Calls a vendor on behalf of one account. */
export class VendorHttp {
  readonly #provider: Provider;
  readonly #module: VendorModule;
  readonly #client: Deno.HttpClient | undefined;
  readonly #authorize: Authorize;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #redact: (text: string) => string;
  /** What the provider's methods get. */
  readonly wire: Wire;
  /** The same for what encodes: what fails on it is the network's doing, and not the module's. */
  readonly sideCalls: Wire;

  /** @param account Its settings, and the address in force, without a slash at its end. */
  constructor(
    provider: Provider,
    module: VendorModule,
    faults: VendorFaults,
    { settings, baseUrl }: Pick<Wire, "settings" | "baseUrl">,
  ) {
    this.#provider = provider;
    this.#module = module;
    this.#redact = faults.redact;
    this.#authorize = authorizeOf(provider);
    this.#headers = Object.fromEntries(
      Object.entries(provider.headers ?? {}).map(([name, text]) => [name, fill(text, settings)]),
    );
    const options = provider.httpClient?.(settings, baseUrl);
    this.#client = options && Deno.createHttpClient(options);
    const deadline = (init?: RequestInit): RequestInit => ({
      signal: AbortSignal.timeout(sideCallTimeout),
      ...init,
    });
    this.wire = {
      settings,
      baseUrl,
      fetch: (url, init) => this.fetch(url, deadline(init)),
      send: (path, init) => this.signedIn(`${baseUrl}${path}`, deadline(init)),
    };
    const { fetch, send } = this.wire;
    const read = async (asked: Promise<Response>) => {
      try {
        const response = await asked;
        return new Response(response.body && await response.arrayBuffer(), response);
      } catch (error) {
        throw faults.ofNetwork(error);
      }
    };
    this.sideCalls = {
      ...this.wire,
      fetch: (url, init) => read(fetch(url, init)),
      send: (path, init) => read(send(path, init)),
    };
  }

  /** A call with the account's sign-in; a 401 refreshes the sign-in once. */
  async signedIn(url: string, init: RequestInit, onSend?: () => void): Promise<Response> {
    const signIn = await this.#signIn(init.signal);
    onSend?.();
    const response = await this.fetch(url, init, signIn);
    if (response.status !== 401) return response;
    let again: Record<string, string>;
    try {
      again = await this.#signIn(init.signal, signIn);
    } catch (error) {
      await response.body?.cancel();
      throw error;
    }
    // A sign-in that stays the same would be refused again.
    if (Object.keys(again).every((name) => again[name] === signIn[name])) return response;
    await response.body?.cancel();
    return await this.fetch(url, init, again);
  }

  /** A call as it is, with some headers for the sign-in. */
  fetch(url: string, init: RequestInit, signIn: Record<string, string> = {}): Promise<Response> {
    const headers = {
      "user-agent": userAgent,
      ...init.headers as Record<string, string> | undefined,
      ...signIn,
    };
    // A redirect is answered like any refusal: followed, it would carry the credentials elsewhere.
    const full: RequestInit = { redirect: "manual", ...init, headers };
    if (this.#provider.fetch !== undefined) {
      return this.#module.fetch(new Request(url, full), this.wire.settings);
    }
    return fetch(url, this.#client === undefined ? full : { ...full, client: this.#client });
  }

  /** Closes the HTTP client. */
  close(): void {
    this.#client?.close();
  }

  async #signIn(
    signal: AbortSignal | null | undefined,
    rejected?: Readonly<Record<string, string>>,
  ): Promise<Record<string, string>> {
    try {
      const headers = this.#authorize(this.wire, rejected);
      const signedIn =
        await (headers instanceof Promise && signal ? unlessAborted(headers, signal) : headers);
      return { ...this.#headers, ...signedIn };
    } catch (error) {
      throw error instanceof RouterError ? withTexts(error, this.#redact) : error;
    }
  }
}
