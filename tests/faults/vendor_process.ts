/**
 * Both vendors of the lab as a process of their own: `vendor_process.ts BAD_PORT GOOD_PORT`.
 *
 * @module
 */
import { FaultVendor } from "./vendor.ts";

const [bad, good] = Deno.args.map(Number);
await FaultVendor.start("bad", 20, bad);
await FaultVendor.start("good", 30, good);
