/**
 * What the client is told where several were asked and nobody answered.
 *
 * @module
 */
import { busyMs, type ErrorCode, failedMs, type RouterError } from "./errors.ts";

/** What does not pass by itself once somebody is asked, the most hopeful first. */
const lasting: readonly ErrorCode[] = [
  // It ends soon, but nobody was asked: why another one failed says more.
  "circuit_open",
  // The client can mend it.
  "insufficient_credits",
  "context_length_exceeded",
  // The operator can.
  "insufficient_quota",
  "provider_failed",
  "upstream_rejected",
  // True only where nobody says anything else.
  "model_not_found",
];

/**
 * Which of two failures the client is told, whoever was asked first: the one that may pass soonest, so
 * that nobody takes for final what a second request would get. What ends the asking is told in any case.
 *
 * @param before What would be told so far.
 * @param last What has come now; told of two that say the same.
 */
export function toldError(before: RouterError | undefined, last: RouterError): RouterError {
  if (before === undefined || !last.fallback) return last;
  const later = rankOf(last) - rankOf(before) || passesIn(last) - passesIn(before);
  return later > 0 ? before : last;
}

/** A place among what lasts; -1 for all that may pass by itself. */
function rankOf({ code }: RouterError): number {
  return lasting.indexOf(code);
}

/** Milliseconds after which the same one may answer. */
function passesIn({ code, retryAfterMs }: RouterError): number {
  return retryAfterMs ?? (code === "upstream_busy" ? busyMs : failedMs);
}
