/**
 * The stop sequences of a request.
 *
 * @module
 */
import type { Call, ChatBody } from "xrouter/provider";
import { refuse } from "./fault.ts";

/** OpenAI's limit. */
const mostStops = 4;

/** The sequences; none where the field is empty. */
export function stopsOf({ stop }: ChatBody): string[] {
  const given = typeof stop === "string" ? [stop] : stop ?? [];
  // An answer is well-formed, and half a surrogate pair would cut a character in two.
  return given.filter((each) => each !== "").map((each) => each.toWellFormed());
}

/**
 * Checks `stop`. GigaChat has no such field: the answer is cut here.
 *
 * @param call Is told that it is.
 * @throws {RouterError} `invalid_request` for more sequences than OpenAI takes.
 */
export function checkStops(body: ChatBody, call: Call): void {
  const stops = stopsOf(body);
  if (stops.length > mostStops) {
    throw refuse("stop", `must hold at most ${mostStops} sequences`);
  }
  if (stops.length > 0) call.changed("stop");
}
