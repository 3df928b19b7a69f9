/**
 * Which IP addresses belong to the public internet.
 *
 * @module
 */
import { isIPv4, isIPv6 } from "node:net";

/**
 * IPv4 that is not for the public: IANA's registry of special-purpose addresses, multicast, and the
 * one public address that a cloud answers its own machines at (Azure's 168.63.129.16).
 */
const specialIpv4: readonly (readonly [number, number])[] = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "168.63.129.16/32",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.31.196.0/24",
  "192.52.193.0/24",
  "192.88.99.0/24",
  "192.168.0.0/16",
  "192.175.48.0/24",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "224.0.0.0/3",
].map((range) => {
  const [address, bits] = range.split("/");
  return [ipv4Number(address!), Number(bits)] as const;
});

/**
 * IPv6 inside 2000::/3 that is not for the public, as its first groups and bits. The first holds
 * Teredo and ORCHID, the second is for documents, the third is 6to4, the last is for documents again.
 */
const specialIpv6: readonly (readonly [first: number, second: number, bits: number])[] = [
  [0x2001, 0x0000, 23],
  [0x2001, 0x0db8, 32],
  [0x2002, 0x0000, 16],
  [0x2620, 0x004f, 32],
  [0x3fff, 0x0000, 20],
];

/**
 * Whether an address belongs to the public internet. What is no address does not; neither does IPv6
 * that carries an IPv4 address in it (mapped, NAT64, 6to4, Teredo), nor one with a zone.
 *
 * @param address As resolvers write it, or as it stands in a URL, without brackets.
 */
export function isPublicAddress(address: string): boolean {
  if (isIPv4(address)) {
    const value = ipv4Number(address);
    return !specialIpv4.some(([start, bits]) => (value ^ start) >>> (32 - bits) === 0);
  }
  if (!isIPv6(address) || address.includes("%")) return false;
  const [first, second] = firstGroups(address);
  if (first >>> 13 !== 1) return false;
  const value = (first << 16 | second) >>> 0;
  return !specialIpv6.some(([one, two, bits]) => (value ^ (one << 16 | two)) >>> (32 - bits) === 0);
}

function ipv4Number(address: string): number {
  return address.split(".").reduce((value, byte) => (value << 8 | Number(byte)) >>> 0, 0);
}

/** The first two groups of an IPv6 address; those that `::` stands for are 0. */
function firstGroups(address: string): [number, number] {
  const [first, second] = address.split(":", 2).map((group) => Number.parseInt(group || "0", 16));
  // In "2001::1" the second group is empty and so 0; in "::1" both are.
  return [first ?? 0, second ?? 0];
}
