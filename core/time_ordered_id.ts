/**
 * A UUID of version 7 (RFC 9562): ids in order of time keep an index of them quick to extend.
 *
 * @param now Milliseconds since 1970-01-01 UTC. Ids of one millisecond are in random order.
 */
export function timeOrderedId(now: number): string {
  const time = now.toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7${crypto.randomUUID().slice(15)}`;
}
