import { locked, readOnly, runFault, runFullDisk } from "./faults.ts";

Deno.test("a locked database refuses requests and loses no row", () => runFault(locked));

Deno.test("a read-only database refuses requests and loses no row", () => runFault(readOnly));

Deno.test("a full disk refuses requests and loses no row", runFullDisk);
