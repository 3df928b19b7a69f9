/**
 * What a vendor's refusals and failures mean, without the secrets that it may repeat.
 *
 * @module
 */
import { RouterError, withTexts } from "./errors.ts";
import { faultByStatus } from "./fault.ts";
import type { Call, Provider } from "./provider.ts";
import { defaultSettings } from "./provider_settings.ts";
import { withoutSecrets } from "./settings.ts";
import { readWhole } from "./read_whole.ts";
import type { VendorModule } from "./vendor_module.ts";

/**
 * What follows the name of a scheme signs someone in, such as a token that was issued meanwhile;
 * where it is longer than the words that follow it, too: "Bearer authentication".
 */
const signIn = /\b(Basic|Bearer|Api-Key)\s+[\w+/=~.-]{16,}/gi;

/** Longer runs of the letters of base64 are tokens or files, not words. */
const longRun = /[\w+/=~.-]{200,}/g;

/** The most of an error body that is read. */
const maxErrorBytes = 64 * 1024;

/**
 * Makes what strikes an account's secrets out of its vendor's words: they reach the log and the
 * client. Of JSON it reads the texts, which may be written with any signs escaped.
 *
 * @param provider The provider as its file declares it.
 * @param settings The account's settings.
 */
export function createRedact(
  provider: Provider,
  settings: Record<string, unknown>,
): (text: string) => string {
  const schema = provider.settings ?? defaultSettings(provider);
  const strike = (text: string) =>
    withoutSecrets(text, schema, settings).replace(signIn, "$1 […]").replace(longRun, "[…]");
  return (text) => strike(/^\s*[{[]/.test(text) ? inTexts(text, strike) : text);
}

/** JSON whose texts went through `change`; what is none stays as it is. */
function inTexts(json: string, change: (text: string) => string): string {
  try {
    return JSON.stringify(
      JSON.parse(json, (_name, value) => typeof value === "string" ? change(value) : value),
    );
  } catch {
    return json;
  }
}

/** The faults of one account. */
export class VendorFaults {
  readonly #provider: Provider;
  readonly #module: VendorModule;
  /** Strikes the account's secrets out of the vendor's words. */
  readonly redact: (text: string) => string;

  /**
   * @param provider The provider as its file declares it.
   * @param module Calls its `fault`.
   * @param redact Strikes the account's secrets out of the vendor's words.
   */
  constructor(provider: Provider, module: VendorModule, redact: (text: string) => string) {
    this.#provider = provider;
    this.#module = module;
    this.redact = redact;
  }

  /** A refusal, as the provider names it, or by its status. */
  of(status: number, body: string, headers: Headers, call?: Call): RouterError {
    const said = this.redact(body);
    return this.#module.fault(status, said, headers, call) ??
      faultByStatus(this.#provider.name, status, said, headers);
  }

  /** A refusal whose body has yet to be read. */
  async ofResponse(response: Response, call?: Call): Promise<RouterError> {
    const { bytes } = await readWhole(response, maxErrorBytes);
    return this.of(response.status, new TextDecoder().decode(bytes), response.headers, call);
  }

  /** What a failed connection or a broken body means; the signal's reason where it has fired. */
  ofNetwork(error: unknown, signal?: AbortSignal): RouterError {
    if (error instanceof RouterError) return withTexts(error, this.redact, "detail");
    if (signal?.aborted && signal.reason instanceof RouterError) return signal.reason;
    const reason = error instanceof Error ? error.message : String(error);
    const cause = error instanceof Error && error.cause instanceof Error
      ? `: ${error.cause.message}`
      : "";
    return new RouterError(
      "upstream_unavailable",
      `Provider "${this.#provider.name}" cannot be reached`,
      { detail: this.redact(`${reason}${cause}`) },
    );
  }

  /** An answer that is not what was asked for. */
  unexpected(what: string, detail?: string): RouterError {
    return new RouterError(
      "upstream_unavailable",
      `Provider "${this.#provider.name}" answered with something that is not ${what}`,
      detail === undefined ? {} : { detail },
    );
  }
}
