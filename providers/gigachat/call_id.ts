/**
 * Ids of tool calls. GigaChat has none, but a state id that a later request should bring back; a
 * client keeps ids and nothing else, so the state id travels inside them.
 *
 * @module
 */

/** `call_gs`, the state's 16 bytes in base64url, and 8 random digits: 37 characters of OpenAI's 40. */
const withState = /^call_gs([\w-]{22})[\da-f]{8}$/;

const uuid = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/;

/**
 * A new id.
 *
 * @param state GigaChat's `functions_state_id`; one that is no UUID is left out.
 */
export function mintCallId(state: unknown): string {
  const random = crypto.randomUUID().replaceAll("-", "");
  if (typeof state !== "string" || !uuid.test(state)) return `call_${random.slice(0, 24)}`;
  const bytes = Uint8Array.fromHex(state.replaceAll("-", ""));
  const packed = bytes.toBase64({ alphabet: "base64url", omitPadding: true });
  return `call_gs${packed}${random.slice(0, 8)}`;
}

/** The state id inside an id that {@linkcode mintCallId} made; other ids have none. */
export function stateOf(id: string): string | undefined {
  const packed = withState.exec(id)?.[1];
  if (packed === undefined) return undefined;
  const hex = Uint8Array.fromBase64(packed, { alphabet: "base64url" }).toHex();
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
