/**
 * Sign-in with tokens that end: kept, renewed early, and asked for once, however many calls wait.
 *
 * @module
 */
import { z } from "zod";
import { RouterError } from "./errors.ts";
import type { Wire } from "./provider.ts";

/** A token as it was issued. */
export interface Token {
  /** What stands after `Bearer`. */
  readonly token: string;
  /** Milliseconds that it lives. */
  readonly lifetimeMs: number;
}

/** Milliseconds before its end at which a token is renewed. */
const renewBefore = 60_000;

interface KeptToken {
  readonly authorization: string;
  /** When it is to be renewed, and when it ends, by `performance.now()`. */
  readonly renewAt: number;
  readonly endsAt: number;
}

/** One account's token. */
class TokenSource {
  #token: KeptToken | undefined;
  #renewal: Promise<KeptToken> | undefined;

  /** The `authorization` header in force, other than the one that was refused. */
  async authorization(mint: () => Promise<Token>, refused: string | undefined): Promise<string> {
    const token = this.#token?.authorization === refused ? undefined : this.#token;
    if (token !== undefined && performance.now() < token.renewAt) return token.authorization;
    // The calls that come meanwhile share this promise, and its failure ends with them.
    this.#renewal ??= this.#renew(mint).finally(() => this.#renewal = undefined);
    try {
      return (await this.#renewal).authorization;
    } catch (error) {
      if (token !== undefined && performance.now() < token.endsAt) return token.authorization;
      throw error;
    }
  }

  async #renew(mint: () => Promise<Token>): Promise<KeptToken> {
    const { token, lifetimeMs } = await mint();
    const now = performance.now();
    const renewAt = now + lifetimeMs - Math.min(renewBefore, lifetimeMs / 2);
    return this.#token = { authorization: `Bearer ${token}`, renewAt, endsAt: now + lifetimeMs };
  }
}

/**
 * Makes the `authorize` of a vendor that issues tokens. Each account has its own token; it is renewed
 * a minute before its end, and at once when the vendor answers it with 401.
 *
 * @param mint Asks the vendor for a token.
 */
export function bearerTokens<Settings extends object>(
  mint: (wire: Wire<Settings>) => Promise<Token>,
): (
  wire: Wire<Settings>,
  rejected?: Readonly<Record<string, string>>,
) => Promise<Record<string, string>> {
  const sources = new WeakMap<Settings, TokenSource>();
  return async (wire, rejected) => {
    let source = sources.get(wire.settings);
    if (source === undefined) sources.set(wire.settings, source = new TokenSource());
    const authorization = await source.authorization(() => mint(wire), rejected?.authorization);
    return { authorization };
  };
}

/** Seconds, an hour where the answer does not say. */
const grantSchema = z.object({
  access_token: z.string().min(1),
  expires_in: z.coerce.number().positive().default(3600),
});

/**
 * Reads a token from the answer that OAuth 2 lays down (RFC 6749, section 5.1).
 *
 * @param provider The provider's name, for messages.
 * @throws {RouterError} `upstream_rejected` when the credentials are refused, `upstream_unavailable`
 * when no token can be had for another reason. The vendor's words are left out: they may repeat a
 * secret.
 */
export async function readGrant(response: Response, provider: string): Promise<Token> {
  const { ok, status } = response;
  const text = await response.text();
  if (!ok && status < 500 && status !== 429) {
    throw new RouterError(
      "upstream_rejected",
      `The sign-in of provider "${provider}" refuses XRouter's credentials (HTTP ${status}). Its operator should run "xrouter doctor"`,
      { detail: `HTTP ${status}` },
    );
  }
  const grant = grantSchema.safeParse(ok ? parse(text) : undefined);
  if (!grant.success) {
    const reason = `The sign-in of provider "${provider}" gives no token`;
    throw new RouterError("upstream_unavailable", reason, { detail: `HTTP ${status}` });
  }
  return { token: grant.data.access_token, lifetimeMs: grant.data.expires_in * 1000 };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
