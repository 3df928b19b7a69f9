import { assertEquals } from "@std/assert";
import { isPublicAddress } from "../../core/public_address.ts";
import { seededRandom } from "../support/random.ts";

const outside = [
  "1.1.1.1",
  "8.8.8.8",
  "9.255.255.255",
  "11.0.0.0",
  "100.63.255.255",
  "100.128.0.0",
  "126.255.255.255",
  "128.0.0.1",
  "169.253.255.255",
  "172.15.255.255",
  "172.32.0.0",
  "192.167.255.255",
  "192.169.0.0",
  "198.17.255.255",
  "198.20.0.0",
  "223.255.255.255",
  "2a00:1450:4010:c05::8a",
  "2001:4860:4860::8888",
  "2606:4700::1111",
  "2003::1",
];

const inside = [
  "0.0.0.0",
  "0.255.255.255",
  "10.0.0.0",
  "10.255.255.255",
  "100.64.0.0",
  "100.100.100.200",
  "100.127.255.255",
  "127.0.0.1",
  "127.255.255.255",
  "168.63.129.16",
  "169.254.0.0",
  "169.254.169.254",
  "172.16.0.0",
  "172.31.255.255",
  "192.0.0.192",
  "192.0.2.1",
  "192.88.99.1",
  "192.168.255.255",
  "198.18.0.1",
  "198.19.255.255",
  "198.51.100.1",
  "203.0.113.1",
  "224.0.0.1",
  "239.255.255.255",
  "240.0.0.1",
  "255.255.255.255",
  "::",
  "::1",
  "::127.0.0.1",
  "::ffff:8.8.8.8",
  "::ffff:7f00:1",
  "64:ff9b::808:808",
  "64:ff9b:1::1",
  "100::1",
  "2001::1",
  "2001:0:4136:e378::1",
  "2001:1ff:ffff::1",
  "2001:db8::1",
  "2002:808:808::1",
  "2002::",
  "3fff::1",
  "3fff:fff::1",
  "4000::1",
  "fc00::1",
  "fd00:ec2::254",
  "fe80::1",
  "fe80::1%eth0",
  "2a00:1450:4010:c05::8a%1",
  "fec0::1",
  "ff02::1",
  "",
  "example.com",
  "1.1.1",
  "1.1.1.1.",
  "0x7f.0.0.1",
  "2130706433",
  "[2606:4700::1111]",
];

Deno.test("isPublicAddress tells public addresses from the others", () => {
  for (const address of outside) assertEquals(isPublicAddress(address), true, address);
  for (const address of inside) assertEquals(isPublicAddress(address), false, address);
});

Deno.test("isPublicAddress agrees with itself on every spelling of an IPv6 address", () => {
  const random = seededRandom();
  for (let round = 0; round < 2_000; round++) {
    const first = [0x2001, 0x2002, 0x2a00, 0xfe80, 0, 0x3fff][random(6)]!;
    const groups = [first, ...Array.from({ length: 7 }, () => random(3) * 0xdb8)];
    const full = groups.map((group) => group.toString(16).padStart(4, "0").toUpperCase()).join(":");
    const short = new URL(`http://[${full}]/`).hostname.slice(1, -1);
    assertEquals(isPublicAddress(short), isPublicAddress(full), `${short} ${full}`);
  }
});
