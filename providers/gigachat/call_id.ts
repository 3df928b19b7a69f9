/**
 * Ids of tool calls. GigaChat has none, but a state id that a later request should bring back; a
 * client keeps ids and nothing else, so the state id travels inside them.
 *
 * @module
 */

/** A UUID's 16 bytes or a text's, in base64url, between `call_gs` or `call_gt` and random digits. */
const withState = /^call_g([st])([\w-]+)[\da-f]{8}$/;

/** As GigaChat writes its own: packed, they make 37 characters of OpenAI's 40. */
const uuid = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/;

/** Characters; whoever sends more would have every history grow by it. */
const longestState = 256;

const base64url = { alphabet: "base64url", omitPadding: true } as const;

/**
 * A new id.
 *
 * @param state GigaChat's `functions_state_id`; what is no text, or longer than 256 characters, is left
 * out.
 */
export function mintCallId(state: unknown): string {
  const random = crypto.randomUUID().replaceAll("-", "");
  if (typeof state !== "string" || state === "" || state.length > longestState) {
    return `call_${random.slice(0, 24)}`;
  }
  const packed = uuid.test(state)
    ? `s${Uint8Array.fromHex(state.replaceAll("-", "")).toBase64(base64url)}`
    : `t${new TextEncoder().encode(state).toBase64(base64url)}`;
  return `call_g${packed}${random.slice(0, 8)}`;
}

/** The state id inside an id that {@linkcode mintCallId} made; other ids have none. */
export function stateOf(id: string): string | undefined {
  const [, kind, packed = ""] = withState.exec(id) ?? [];
  const bytes = kind === undefined ? undefined : unpack(packed);
  if (bytes === undefined) return undefined;
  if (kind === "t") return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  const hex = bytes.toHex();
  return hex.length === 32 ? hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-") : undefined;
}

/** Nothing for what is no base64url: others' ids may look like these. */
function unpack(packed: string): Uint8Array | undefined {
  try {
    return Uint8Array.fromBase64(packed, base64url);
  } catch {
    return undefined;
  }
}
