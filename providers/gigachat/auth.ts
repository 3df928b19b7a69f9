/**
 * GigaChat's sign-in: access tokens that live half an hour, a ready token, or a client certificate.
 *
 * @module
 */
import type { Wire } from "xrouter/provider";
import { endOf } from "./pem.ts";
import type { GigachatSettings } from "./settings.ts";
import { refusedSignIn } from "./sign_in_fault.ts";
import { requestToken, type Token } from "./token.ts";

/** Milliseconds before its end at which a token is renewed. */
const renewBefore = 60_000;

type GigachatWire = Wire<GigachatSettings>;

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

/** By settings, because these are one object for each account. */
const sources = new WeakMap<GigachatSettings, TokenSource>();

/**
 * The headers that sign a call in; none where the client certificate does.
 *
 * @param wire The account's wire.
 * @param rejected The headers that GigaChat has just answered with 401.
 * @throws {RouterError} `upstream_rejected` when the credentials, the scope or the certificate are
 * wrong (the detail says what to set), `upstream_unavailable` when no token can be had.
 */
export async function authorize(
  wire: GigachatWire,
  rejected?: Readonly<Record<string, string>>,
): Promise<Record<string, string>> {
  const { settings } = wire;
  const { certFile, accessToken, credentials, user } = settings;
  if (certFile !== undefined) checkDate(certFile[0]!);
  if (accessToken !== undefined) {
    if (rejected !== undefined) {
      throw refusedSignIn(
        "The token in GIGACHAT_ACCESS_TOKEN has ended, or belongs to another host. Set it to a new one and start again; or set GIGACHAT_CREDENTIALS instead, whose tokens XRouter renews by itself",
      );
    }
    return { authorization: `Bearer ${accessToken}` };
  }
  if (credentials === undefined && user === undefined) {
    if (rejected !== undefined) {
      throw refusedSignIn(
        "GigaChat wants more than the client certificate, or does not know it. Check GIGACHAT_CERT_FILE and GIGACHAT_BASE_URL, or set GIGACHAT_CREDENTIALS too",
      );
    }
    return {};
  }
  let source = sources.get(settings);
  if (source === undefined) sources.set(settings, source = new TokenSource());
  return { authorization: await source.authorization(wire, rejected?.authorization) };
}

/** A certificate may end while the program runs, and what GigaChat says then names no cure. */
function checkDate(certificate: string): void {
  const end = endOf(certificate);
  if (end > Date.now()) return;
  throw refusedSignIn(
    `The client certificate in GIGACHAT_CERT_FILE ended on ${
      new Date(end).toISOString().slice(0, 10)
    }. Put a new one there and start again; if it is new, check this machine's clock`,
  );
}
