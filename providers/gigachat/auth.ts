/**
 * GigaChat's sign-in: OAuth client credentials and access tokens that live half an hour.
 *
 * @module
 */
import { RouterError, type Wire } from "xrouter/provider";
import { z } from "zod";
import { withoutSecrets } from "../../core/settings.ts";
import { oauthFault, oauthUnreachable } from "./fault.ts";
import { type GigachatSettings, gigachatSettings } from "./settings.ts";

/** Milliseconds before its end at which a token is renewed. */
const renewBefore = 60_000;

/** Milliseconds a token lives by the documentation, for an answer that does not say. */
const documentedLifetime = 30 * 60_000;

/** Above this a time is in milliseconds since 1970, below it in seconds: the documents show both. */
const millisecondsFrom = 1e12;

type GigachatWire = Wire<GigachatSettings>;

/** The answer of the OAuth endpoint, in either of the shapes it is seen in. */
const grantSchema = z.union([
  z.object({ access_token: z.string().min(1), expires_at: z.number().optional() })
    .transform((grant) => ({ token: grant.access_token, expires: grant.expires_at })),
  z.object({ tok: z.string().min(1), exp: z.number().optional() })
    .transform((grant) => ({ token: grant.tok, expires: grant.exp })),
]);

interface Token {
  readonly authorization: string;
  /** When it ends, by `performance.now()`. */
  readonly endsAt: number;
}

/** One credential's access token. However many calls need a new one, one is asked for. */
class TokenSource {
  #token: Token | undefined;
  #renewal: Promise<Token> | undefined;

  /** The `authorization` header in force, other than the one that was refused. */
  async authorization(wire: GigachatWire, refused: string | undefined): Promise<string> {
    const token = this.#token?.authorization === refused ? undefined : this.#token;
    if (token !== undefined && left(token) >= renewBefore) return token.authorization;
    // The calls that come meanwhile share this promise, and its failure ends with them.
    this.#renewal ??= this.#renew(wire).finally(() => this.#renewal = undefined);
    try {
      return (await this.#renewal).authorization;
    } catch (error) {
      if (token !== undefined && left(token) > 0) return token.authorization;
      throw error;
    }
  }

  async #renew(wire: GigachatWire): Promise<Token> {
    return this.#token = await requestToken(wire);
  }
}

function left(token: Token): number {
  return token.endsAt - performance.now();
}

/** By settings, because these are one object for each configured provider. */
const sources = new WeakMap<GigachatSettings, TokenSource>();

/**
 * The header that signs a call in.
 *
 * @param wire The provider's wire.
 * @param rejected The headers that GigaChat has just answered with 401.
 * @throws {RouterError} `upstream_rejected` when the credentials or the scope are wrong (the detail
 * says what to set), `upstream_unavailable` when no token can be had.
 */
export async function authorize(
  wire: GigachatWire,
  rejected?: Readonly<Record<string, string>>,
): Promise<Record<string, string>> {
  if (new URL(wire.baseUrl).protocol !== "https:") {
    throw new RouterError("upstream_rejected", "GigaChat is called by TLS only", {
      detail:
        `GIGACHAT_BASE_URL is "${wire.baseUrl}". Set it to an address that begins with https://`,
    });
  }
  let source = sources.get(wire.settings);
  if (source === undefined) sources.set(wire.settings, source = new TokenSource());
  return { authorization: await source.authorization(wire, rejected?.authorization) };
}

async function requestToken(wire: GigachatWire): Promise<Token> {
  const { authUrl, credentials, scope } = wire.settings;
  let response: Response;
  let text: string;
  try {
    response = await wire.fetch(authUrl, {
      method: "POST",
      // The Russian root is trusted for this host, not for one that it may point to.
      redirect: "error",
      headers: {
        authorization: `Basic ${credentials}`,
        rquid: crypto.randomUUID(),
        "content-type": "application/x-www-form-urlencoded",
        accept: "application/json",
      },
      body: new URLSearchParams({ scope }).toString(),
    });
    text = await response.text();
  } catch (error) {
    throw oauthUnreachable(authUrl, error);
  }
  if (!response.ok) {
    const said = withoutSecrets(text, gigachatSettings, wire.settings);
    throw oauthFault(response.status, said, response.headers);
  }
  const grant = grantSchema.safeParse(parse(text));
  if (!grant.success) {
    throw new RouterError("upstream_unavailable", "GigaChat's sign-in answered without a token", {
      // The answer itself is left out: it may hold a token under another name.
      detail: `content-type ${response.headers.get("content-type")}, ${text.length} characters`,
    });
  }
  const { token, expires } = grant.data;
  return {
    authorization: `Bearer ${token}`,
    endsAt: performance.now() + lifetimeOf(expires, response.headers.get("date")),
  };
}

/**
 * Milliseconds that a token lives.
 *
 * @param expires Its end as a Unix time in milliseconds or seconds.
 * @param date The answer's `date` header: the issuer's own clock, so that a wrong clock here does no
 * harm.
 */
export function lifetimeOf(expires: number | undefined, date: string | null): number {
  if (expires === undefined || expires <= 0) return documentedLifetime;
  const issuedAt = date === null ? Number.NaN : Date.parse(date);
  const end = expires > millisecondsFrom ? expires : expires * 1000;
  return end - (Number.isNaN(issuedAt) ? Date.now() : issuedAt);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
