/**
 * Asks for an access token: by OAuth with an authorization key, or by user and password.
 *
 * @module
 */
import { RouterError, type Wire } from "xrouter/provider";
import { z } from "zod";
import { withoutSecrets } from "../../core/settings.ts";
import { authoritiesFor, isSberHost } from "./certificate.ts";
import { type GigachatSettings, gigachatSettings } from "./settings.ts";
import { signInFault, signInUnreachable } from "./sign_in_fault.ts";

/** Milliseconds a token lives by the documentation, for an answer that does not say. */
const documentedLifetime = 30 * 60_000;

/** Above this a time is in milliseconds since 1970, below it in seconds: the documents show both. */
const millisecondsFrom = 1e12;

/** Less than this is no life: a token so short would be renewed for every call. */
const shortestLifetime = 60_000;

/** Milliseconds for a token over a connection of its own. */
const timeout = 20_000;

type GigachatWire = Wire<GigachatSettings>;

/** An access token. */
export interface Token {
  /** The header that signs a call in. */
  readonly authorization: string;
  /** When it ends, by `performance.now()`. */
  readonly endsAt: number;
}

/** The answer of a sign-in, in either of the shapes it is seen in. */
const grantSchema = z.union([
  z.object({ access_token: z.string().min(1), expires_at: z.number().optional() })
    .transform((grant) => ({ token: grant.access_token, expires: grant.expires_at })),
  z.object({ tok: z.string().min(1), exp: z.number().optional() })
    .transform((grant) => ({ token: grant.tok, expires: grant.exp })),
]);

/** @throws {RouterError} When no token can be had; its detail names the cure. */
export async function requestToken(wire: GigachatWire): Promise<Token> {
  const { url, init } = signInRequest(wire);
  let response: Response;
  let text: string;
  try {
    // The Russian root is trusted for this host, not for one that it may point to.
    response = await fetchFor(wire, url, { method: "POST", redirect: "error", ...init });
    text = await response.text();
  } catch (error) {
    throw signInUnreachable(url, error);
  }
  if (!response.ok) {
    const said = withoutSecrets(text, gigachatSettings, wire.settings);
    throw signInFault(response.status, said, response.headers, wire.settings.user !== undefined);
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

/** What asks for a token: a form with the scope, or for a user an empty body. */
function signInRequest({ settings, baseUrl }: GigachatWire): { url: string; init: RequestInit } {
  const { user, password = "", credentials = [], authUrl, scope } = settings;
  const accept = "application/json";
  if (user !== undefined) {
    const both = new TextEncoder().encode(`${user}:${password}`).toBase64();
    return {
      url: `${baseUrl}/token`,
      init: { headers: { authorization: `Basic ${both}`, accept } },
    };
  }
  return {
    url: authUrl,
    init: {
      headers: {
        authorization: `Basic ${credentials[0]}`,
        rquid: crypto.randomUUID(),
        "content-type": "application/x-www-form-urlencoded",
        accept,
      },
      body: new URLSearchParams({ scope }).toString(),
    },
  };
}

/**
 * OAuth is called by a connection of its own where the API's shows a client certificate, which is for
 * the API alone, or where only one of both hosts is Sber's, so that they trust other authorities.
 */
async function fetchFor(wire: GigachatWire, url: string, init: RequestInit): Promise<Response> {
  const { certFile, user } = wire.settings;
  const isAlike = certFile === undefined && isSberHost(url) === isSberHost(wire.baseUrl);
  if (user !== undefined || isAlike) return await wire.fetch(url, init);
  using client = Deno.createHttpClient({ caCerts: authoritiesFor(url, wire.settings) });
  const headers = { "user-agent": "xrouter", ...init.headers as Record<string, string> };
  const signal = AbortSignal.timeout(timeout);
  const response = await fetch(url, { ...init, headers, signal, client });
  // The body is read here, because the connection ends with this call.
  return new Response(await response.arrayBuffer(), response);
}

/**
 * Milliseconds that a token lives.
 *
 * @param expires Its end as a Unix time in milliseconds or seconds.
 * @param date The answer's `date` header: the issuer's own clock, so that a wrong clock here does no
 * harm. Where it is missing and a new token seems to be at its end, this clock is what is wrong.
 */
export function lifetimeOf(expires: number | undefined, date: string | null): number {
  if (expires === undefined || expires <= 0) return documentedLifetime;
  const issuedAt = date === null ? Number.NaN : Date.parse(date);
  const end = expires > millisecondsFrom ? expires : expires * 1000;
  if (!Number.isNaN(issuedAt) && end > issuedAt) return end - issuedAt;
  const left = end - Date.now();
  return left > shortestLifetime ? left : documentedLifetime;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
