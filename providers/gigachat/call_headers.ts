/**
 * The headers that GigaChat gets beside those that sign in.
 *
 * @module
 */
import type { Call, ChatBody } from "xrouter/provider";
import { sessionId } from "./session.ts";
import type { GigachatSettings } from "./settings.ts";

/**
 * What a client may have written into Sber's log. `x-client-id` is not among them: files belong to
 * the id that they were made under, and XRouter fetches and reuses files for all of its clients.
 */
const passed = ["x-request-id", "x-trace-id", "x-operation-id", "x-service-id", "x-agent-id"];

/** Longer ids are no ids. */
const longestId = 128;

/** Adds a call's headers; what a plugin has set stays. */
export function addHeaders(body: ChatBody, call: Call): void {
  const { headers, clientHeaders } = call;
  for (const name of passed) {
    const id = clientHeaders.get(name);
    if (id !== null && id.length <= longestId) headers[name] ??= id;
  }
  const { sessions } = call.settings as GigachatSettings;
  if (sessions === "on") headers["x-session-id"] ??= sessionId(body, call);
}
