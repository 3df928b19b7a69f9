/**
 * What a provider's refusal means, where the provider itself does not say.
 *
 * @module
 */
import { type ErrorCode, RouterError, type RouterErrorOptions } from "./errors.ts";

/** The longest wait that a vendor is believed to want, in milliseconds: a day. */
const longestRetryAfter = 86_400_000;

/**
 * Milliseconds that a `retry-after` header asks to wait: seconds or a date (RFC 9110 §10.2.3); a day
 * at most.
 */
export function readRetryAfter(headers: Headers, now: number = Date.now()): number | undefined {
  const value = headers.get("retry-after")?.trim();
  if (value === undefined || value === "") return undefined;
  const ms = /^\d+(\.\d+)?$/.test(value) ? Number(value) * 1000 : Date.parse(value) - now;
  return Number.isFinite(ms) ? Math.min(longestRetryAfter, Math.max(0, ms)) : undefined;
}

/** What a vendor says of an error. */
interface VendorMessage {
  /** Its own words, cut to 500 characters. */
  message?: string;
  /** Its name of the error. */
  code?: string;
  /** Its name of the kind of error. */
  type?: string;
  /** The request's field that is wrong. */
  param?: string;
}

/** What a vendor says in an error body of any of the usual shapes. */
export function readVendorMessage(body: string): VendorMessage {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    return {};
  }
  const outer = json as Record<"error" | keyof VendorMessage, unknown> | null;
  const inner = typeof outer?.error === "object" && outer.error !== null
    ? outer.error as Record<keyof VendorMessage, unknown>
    : outer;
  const message = typeof outer?.error === "string" ? outer.error : inner?.message;
  return {
    ...(typeof message === "string" && { message: message.slice(0, 500) }),
    ...(typeof inner?.code === "string" && { code: inner.code }),
    ...(typeof inner?.type === "string" && { type: inner.type }),
    ...(typeof inner?.param === "string" && { param: inner.param.slice(0, 500) }),
  };
}

/** OpenAI's names for an account that is used up; the status is the one of a busy vendor. */
const usedUp = /insufficient_quota|credit_balance|(spend|usage)_limit_exceeded|billing_/;

/** What speaks of a model: OpenRouter calls those who run one its endpoints. */
const ofModel = /model|модел|no endpoints found/i;

/** What speaks of an address: `Invalid URL (POST /v2/chat/completions)`. */
const ofAddress = /\b(url|uri|path|route|endpoint|page|resource)\b|адрес|страниц/i;

/**
 * A vendor's refusal by its HTTP status, and by its names of the errors that a status leaves open.
 *
 * What the caller got wrong is the caller's 400, or 404, in the vendor's words. What concerns
 * XRouter's own account with the vendor (401, 402, 403) is a 502, or 429 where it is to be paid, whose
 * vendor text stays in the log.
 *
 * @param provider The provider's name.
 * @param status The vendor's HTTP status.
 * @param body The vendor's body, as much of it as was read.
 */
export function faultByStatus(
  provider: string,
  status: number,
  body: string,
  headers: Headers,
): RouterError {
  const vendor = readVendorMessage(body);
  const said = vendor.message === undefined ? "" : `: ${vendor.message}`;
  const fault = (code: ErrorCode, message: string, options: RouterErrorOptions = {}) =>
    new RouterError(code, message, { detail: `HTTP ${status} ${body.slice(0, 500)}`, ...options });
  if (status === 402 || usedUp.test(`${vendor.code} ${vendor.type}`)) {
    return fault(
      "insufficient_quota",
      `Provider "${provider}" asks XRouter's operator to pay (HTTP ${status})`,
    );
  }
  switch (status) {
    case 400:
    case 422: {
      const field = vendor.param === undefined ? {} : { param: vendor.param };
      if (
        /context_length|context length|maximum context/i.test(`${vendor.code} ${vendor.message}`)
      ) {
        return fault(
          "context_length_exceeded",
          `Provider "${provider}" has too little room${said}`,
          field,
        );
      }
      if (/content_(policy|filter)/i.test(`${vendor.code}`)) {
        return fault("content_filter", `Provider "${provider}" refuses this content${said}`, field);
      }
      return fault("invalid_request", `Provider "${provider}" refuses the request${said}`, field);
    }
    case 413:
      return fault("context_length_exceeded", `Provider "${provider}" finds the request too large`);
    case 401:
    case 403:
      return fault(
        "upstream_rejected",
        `Provider "${provider}" refuses XRouter's credentials (HTTP ${status}). Its operator should run "xrouter doctor"`,
      );
    case 404: {
      const words = `${vendor.code} ${vendor.param} ${vendor.message}`;
      if (ofModel.test(words)) {
        const reason = `Provider "${provider}" does not have this model${said}`;
        return fault("model_not_found", reason, { param: "model" });
      }
      // A file say, or an earlier answer, that the request names; another vendor may have it.
      if (vendor.param !== undefined || (vendor.message !== undefined && !ofAddress.test(words))) {
        const reason = `Provider "${provider}" does not find what the request names${said}`;
        return fault("upstream_rejected", reason, { param: vendor.param ?? "body" });
      }
      return fault(
        "upstream_rejected",
        `Provider "${provider}" has nothing at its address (HTTP 404). Its operator should run "xrouter doctor"`,
      );
    }
    case 408:
    case 425:
    case 429: {
      const retryAfterMs = readRetryAfter(headers);
      return fault(
        "upstream_busy",
        `Provider "${provider}" is busy (HTTP ${status})`,
        retryAfterMs === undefined ? {} : { retryAfterMs },
      );
    }
    default: {
      const retryAfterMs = readRetryAfter(headers);
      return status >= 500
        ? fault(
          "upstream_unavailable",
          `Provider "${provider}" failed (HTTP ${status})`,
          retryAfterMs === undefined ? {} : { retryAfterMs },
        )
        : fault("upstream_rejected", `Provider "${provider}" answers HTTP ${status}${said}`);
    }
  }
}
