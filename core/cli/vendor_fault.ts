/**
 * Why a vendor cannot be used, in words for the person who runs XRouter, with the cure.
 *
 * @module
 */
import { RouterError } from "../errors.ts";
import { readVendorMessage } from "../fault.ts";
import { settingsOf } from "../settings.ts";
import { variableOf } from "../provider_settings.ts";
import type { Transport } from "../transport.ts";
import type { Redact } from "./redact.ts";
import { oneLine } from "./terminal.ts";

/** What is wrong and what to do. */
export interface Fault {
  /** `warn` where chat completions may work all the same. */
  readonly status: "warn" | "fail";
  /** What happened. */
  readonly found: string;
  /** What to do about it. */
  readonly cure: string;
}

/** The most characters that are shown of what was found, in which vendors have their word. */
const maxFound = 300;

/**
 * Explains what `Transport.reach` or `Transport.listModels` rejected with.
 *
 * @param error What was thrown.
 * @param provider The provider that was asked.
 * @param redact Takes the secrets out of the vendor's words.
 */
export function explainVendorFault(error: unknown, provider: Transport, redact: Redact): Fault {
  const { status, found, cure } = error instanceof RouterError
    ? explainRefusal(error, provider)
    : error instanceof SyntaxError
    ? fail("answers with something that is not JSON", checkAddress(provider))
    : explainConnection(error, provider);
  const shown = oneLine(redact(found));
  return {
    status,
    found: shown.length > maxFound ? `${shown.slice(0, maxFound)}…` : shown,
    cure: oneLine(redact(cure)),
  };
}

function explainRefusal(error: RouterError, provider: Transport): Fault {
  const [, code, body = ""] = /^HTTP (\d{3})(.*)$/s.exec(error.detail ?? "") ?? [];
  if (code === undefined) {
    // The provider explains itself. The hint that follows its first sentence led here.
    const found = error.message.replace(/\. Its operator should .*$/, "");
    return fail(found, error.detail ?? checkCredentials(provider));
  }
  const said = readVendorMessage(body).message ?? (body.trim().startsWith("<") ? "" : body.trim());
  const answer = `HTTP ${code}${said && `: ${said}`}`;
  switch (Number(code)) {
    case 401:
    case 403:
      return fail(`refuses the credentials (${answer})`, checkCredentials(provider));
    case 402:
      return fail(`asks for payment (${answer})`, "Pay the account with the vendor");
    case 404:
    case 405:
    case 501:
      return {
        status: "warn",
        found: `has no list of models at ${provider.baseUrl}/models (${answer})`,
        cure: `${checkAddress(provider)}. A vendor without a list cannot be checked further`,
      };
    case 408:
    case 425:
    case 429:
      return { status: "warn", found: `is busy (${answer})`, cure: "Look again in a minute" };
    default:
      return code.startsWith("5")
        ? fail(`failed (${answer})`, "Look again later: the fault is the vendor's")
        : fail(`answers ${answer}`, checkAddress(provider));
  }
}

/** Reads the texts of Deno's `fetch`: they are all it tells. */
function explainConnection(error: unknown, provider: Transport): Fault {
  const { name, message, cause } = error instanceof Error ? error : new Error(String(error));
  const { host, hostname } = new URL(provider.baseUrl);
  const reason = cause instanceof Error ? cause.message : message;
  const detail = reason.split(/client error \(\w+\): /).at(-1)!;
  const proxy = ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"].find((each) =>
    Deno.env.get(each) ?? Deno.env.get(each.toLowerCase())
  );
  const checkProxy = proxy === undefined ? "" : `. Calls go by the proxy in ${proxy}: check it too`;
  if (name === "TimeoutError") {
    const others = variablesOf(provider).map(({ variable }) => variable)
      .filter((variable) => variable.endsWith("_URL"));
    const places = [host, ...others.map((variable) => `the address in ${variable}`)].join(" or ");
    return fail(
      `no answer in time from ${places}`,
      `Let your firewall pass these calls, or name a proxy in HTTPS_PROXY${checkProxy}`,
    );
  }
  if (/dns error|lookup address/.test(reason)) {
    return fail(
      `the name "${hostname}" cannot be looked up`,
      `${checkAddress(provider)}, and this machine's network and DNS${checkProxy}`,
    );
  }
  if (reason.includes("certificate")) return explainCertificate(detail, host, provider);
  if (/fatal alert: (Certificate|BadCertificate|UnknownCA)/.test(reason)) {
    const own = variablesOf(provider).find(({ variable }) => variable.endsWith("_CERT_FILE"));
    return fail(
      `${host} wants another client certificate (${detail})`,
      own === undefined ? checkAddress(provider) : `Check ${own.variable}, and when it ends`,
    );
  }
  if (/InvalidContentType|handshake|invalid HTTP version/.test(reason)) {
    return fail(
      `${host} does not speak ${new URL(provider.baseUrl).protocol.slice(0, -1)} (${detail})`,
      checkAddress(provider),
    );
  }
  if (reason.includes("Connection refused")) {
    return fail(
      `${host} refuses the connection`,
      `${checkAddress(provider)}, and that the server runs${checkProxy}`,
    );
  }
  return fail(`${host} cannot be called (${detail})`, checkAddress(provider) + checkProxy);
}

function explainCertificate(detail: string, host: string, provider: Transport): Fault {
  if (/not valid for name|NotValidForName/.test(detail)) {
    return fail(
      `the certificate of ${host} names another host (${detail})`,
      checkAddress(provider),
    );
  }
  if (/expired|not valid yet/i.test(detail)) {
    return fail(
      `the certificate of ${host} is not valid now (${detail})`,
      "Check this machine's clock; if it is right, the vendor has to renew the certificate",
    );
  }
  const own = variablesOf(provider).find((each) => each.variable.endsWith("_CA_BUNDLE_FILE"));
  const others =
    "DENO_CERT (not in .env), or install it in this system and set DENO_TLS_CA_STORE=mozilla,system";
  return fail(
    `the certificate of ${host} is not trusted (${detail})`,
    "If your company's proxy stands in between, write the path of its authority's PEM file into " +
      (own === undefined ? others : `${own.variable}, or into ${others}`),
  );
}

function checkAddress(provider: Transport): string {
  return `Check ${variableOf(provider.name, "BASE_URL")}, which is ${provider.baseUrl}`;
}

function checkCredentials(provider: Transport): string {
  const secrets = variablesOf(provider).filter(({ secret }) => secret);
  return secrets.length === 0
    ? checkAddress(provider)
    : `Set ${secrets.map(({ variable }) => variable).join(" or ")} to one that the vendor accepts`;
}

function variablesOf(provider: Transport): { variable: string; secret: boolean }[] {
  return [...settingsOf(provider.schema).values()].flatMap(({ variable, secret = false }) =>
    variable === undefined ? [] : [{ variable, secret }]
  );
}

function fail(found: string, cure: string): Fault {
  return { status: "fail", found, cure };
}
