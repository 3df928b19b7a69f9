/**
 * What a refused or failed sign-in means, with the cure in the detail.
 *
 * @module
 */
import { RouterError } from "xrouter/provider";
import { readRetryAfter } from "../../core/fault.ts";
import { answerOf } from "./vendor_words.ts";

const setKey =
  "Set GIGACHAT_CREDENTIALS to the authorization key of the GigaChat project in the Studio cabinet";
const setScope =
  "Set GIGACHAT_SCOPE to the scope that the cabinet shows beside the key: GIGACHAT_API_PERS, GIGACHAT_API_B2B or GIGACHAT_API_CORP";

/** The OAuth endpoint's codes. They say more than its statuses: code 4 comes with 400 and with 401. */
const oauthCures: Readonly<Record<number, string>> = {
  1: `The scope is not one that exists. ${setScope}`,
  4: `The authorization key is not base64. ${setKey}`,
  5: `The scope is empty. ${setScope}`,
  6: `The authorization key is not known, or it was replaced. ${setKey}, or make a new one there`,
  7: `The authorization key belongs to another scope. ${setScope}`,
};

/** GigaChat does not take what XRouter signs in with. @param cure For the operator. */
export function refusedSignIn(cure: string): RouterError {
  return new RouterError(
    "upstream_rejected",
    'GigaChat refuses XRouter\'s credentials. Its operator should run "xrouter doctor"',
    { detail: cure },
  );
}

/**
 * A refusal of the sign-in; its detail names the cure.
 *
 * @param byUser Whether user and password were sent, and not an authorization key.
 */
export function signInFault(
  status: number,
  body: string,
  headers: Headers,
  byUser: boolean,
): RouterError {
  const detail = answerOf(status, body, headers);
  if (status === 429 || status >= 500) {
    const retryAfterMs = readRetryAfter(headers);
    const options = { detail, ...(retryAfterMs !== undefined && { retryAfterMs }) };
    return status === 429
      ? new RouterError("upstream_busy", "GigaChat's sign-in is busy", options)
      : new RouterError(
        "upstream_unavailable",
        `GigaChat's sign-in failed (HTTP ${status})`,
        options,
      );
  }
  const cure = byUser
    ? status === 401
      ? "User or password are wrong. Check GIGACHAT_USER and GIGACHAT_PASSWORD"
      : "Check GIGACHAT_BASE_URL: this address may have no sign-in by user and password"
    : oauthCures[readCode(body) ?? 0] ?? `Check GIGACHAT_AUTH_URL. ${setKey}`;
  return refusedSignIn(`${cure} (${detail})`);
}

/** The sign-in did not answer; the detail names the cure of a certificate that is not trusted. */
export function signInUnreachable(url: string, error: unknown): RouterError {
  const { name, message, cause } = error instanceof Error ? error : new Error(String(error));
  if (name === "TimeoutError") {
    return new RouterError("timeout", "GigaChat's sign-in does not answer", {
      detail: `${url} did not answer in time. Port ${
        new URL(url).port || 443
      } may be closed in a firewall`,
      cause: error,
    });
  }
  const reason = cause instanceof Error ? `${message}: ${cause.message}` : message;
  const cure = reason.includes("certificate")
    ? ". Set GIGACHAT_CA_BUNDLE_FILE to a PEM file with the authority of this host. The Russian Trusted Root CA is built in, and is trusted at Sber's hosts alone"
    : "";
  return new RouterError("upstream_unavailable", "GigaChat's sign-in cannot be reached", {
    detail: `${url}: ${reason}${cure}`,
    cause: error,
  });
}

function readCode(body: string): number | undefined {
  try {
    const { code } = JSON.parse(body) as { code?: unknown };
    return typeof code === "number" ? code : undefined;
  } catch {
    return undefined;
  }
}
