/**
 * What GigaChat's refusals mean where the default by status says too little, and all of its OAuth
 * endpoint's.
 *
 * @module
 */
import { RouterError } from "xrouter/provider";
import { readRetryAfter, readVendorMessage } from "../../core/fault.ts";

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

/**
 * A refusal of the API.
 *
 * @returns `undefined` for what the default by status says as well.
 */
export function fault(status: number, body: string): RouterError | undefined {
  const { message } = readVendorMessage(body);
  const said = message === undefined ? "" : `: ${message}`;
  const detail = `HTTP ${status} ${body.slice(0, 500)}`;
  switch (status) {
    case 400: {
      const hint = message?.includes("invalid JSON syntax")
        ? " (GigaChat says so of any field that has the wrong type)"
        : "";
      return new RouterError("invalid_request", `GigaChat refuses the request${said}${hint}`, {
        detail,
      });
    }
    case 403:
      return new RouterError("upstream_rejected", "GigaChat does not permit this call", {
        detail: message === undefined
          ? `${detail}. GigaChat's edge answers so to a path that is not there: check GIGACHAT_BASE_URL`
          : `${detail}. The tariff of GIGACHAT_CREDENTIALS does not include it`,
      });
    case 404:
      return new RouterError("upstream_rejected", `GigaChat does not have this model${said}`, {
        param: "model",
        detail: `${detail}. Each host has models of its own: check GIGACHAT_BASE_URL`,
      });
    default:
      return undefined;
  }
}

/** A refusal of the OAuth endpoint; its detail names the cure. */
export function oauthFault(status: number, body: string, headers: Headers): RouterError {
  const detail = `HTTP ${status} ${body.slice(0, 500)}`;
  if (status === 429) {
    const retryAfterMs = readRetryAfter(headers);
    return new RouterError("upstream_busy", "GigaChat's sign-in is busy", {
      detail,
      ...(retryAfterMs !== undefined && { retryAfterMs }),
    });
  }
  if (status >= 500) {
    return new RouterError("upstream_unavailable", `GigaChat's sign-in failed (HTTP ${status})`, {
      detail,
    });
  }
  const cure = oauthCures[readCode(body) ?? 0] ?? `Check GIGACHAT_AUTH_URL. ${setKey}`;
  return new RouterError(
    "upstream_rejected",
    'GigaChat refuses XRouter\'s credentials. Its operator should run "xrouter doctor"',
    { detail: `${cure} (${detail})` },
  );
}

/** The OAuth endpoint did not answer; the detail names the cure of a certificate that is not trusted. */
export function oauthUnreachable(authUrl: string, error: unknown): RouterError {
  const { name, message, cause } = error instanceof Error ? error : new Error(String(error));
  if (name === "TimeoutError") {
    return new RouterError("timeout", "GigaChat's sign-in does not answer", {
      detail: `${authUrl} did not answer in time. Port 9443 may be closed in a firewall`,
      cause: error,
    });
  }
  const reason = cause instanceof Error ? `${message}: ${cause.message}` : message;
  const cure = reason.includes("certificate")
    ? ". Set GIGACHAT_CA_BUNDLE_FILE to a PEM file with the authority of this host. The Russian Trusted Root CA is built in, and is trusted while GIGACHAT_AUTH_URL and GIGACHAT_BASE_URL both belong to Sber"
    : "";
  return new RouterError("upstream_unavailable", "GigaChat's sign-in cannot be reached", {
    detail: `${authUrl}: ${reason}${cure}`,
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

/**
 * What a request asks for and GigaChat cannot do.
 *
 * @param param The field as OpenAI writes it: `messages[0].content`.
 * @param message What is wrong with it and the cure, to follow the field's name.
 */
export function refuse(param: string, message: string): RouterError {
  return new RouterError("invalid_request", `"${param}" ${message}`, { param });
}
