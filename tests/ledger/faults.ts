/**
 * Databases that cannot be written for a while, under a program that runs on.
 *
 * @module
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { holdWriteLock } from "../store/write_lock.ts";
import { LedgerFolder, orderOf, send } from "./ledger_folder.ts";
import { serveProgram } from "./served_program.ts";
import { costOfOrder, startVendorLog } from "./vendor_log.ts";

/** How a database is broken. */
export interface Fault {
  /** Makes writing fail. @returns What mends it. */
  break(folder: LedgerFolder, database: Writable): Promise<() => Promise<void>>;
  /** Where the database is; the usual place for temporary files where absent. */
  readonly dir?: string;
}

/** The program's own connection. */
interface Writable {
  execute(sql: string): Promise<unknown>;
}

/** Another process holds the write lock. */
export const locked: Fault = {
  async break({ path }) {
    const lock = await holdWriteLock(`${path}/xrouter.db`);
    return () => lock.release();
  },
};

/** The program's connection may only read, as after a remount; file modes do not bind root. */
export const readOnly: Fault = {
  async break(_folder, database) {
    await database.execute("PRAGMA query_only = 1");
    return async () => {
      await database.execute("PRAGMA query_only = 0");
    };
  },
};

/** The file system has no room left. */
export function full(dir: string): Fault {
  return {
    dir,
    async break() {
      const path = `${dir}/filler`;
      using file = await Deno.open(path, { write: true, create: true });
      for (let size = 65_536; size > 0; size >>= 1) {
        try {
          for (;;) await file.write(new Uint8Array(size));
        } catch {
          // Then smaller pieces.
        }
      }
      return () => Deno.remove(path);
    },
  };
}

/**
 * Runs a program whose database breaks under a request and is mended again, and asserts that nobody
 * is asked meanwhile, that nothing is lost, and that all goes on without a restart.
 */
export async function runFault(fault: Fault): Promise<void> {
  await using vendor = startVendorLog();
  await using folder = await LedgerFolder.make(vendor, fault.dir);
  const key = await folder.makeKey({ credit: 1_000_000_000 });
  const words = 20;
  const ask = async (id: string) => {
    const order = await orderOf(id, words);
    const { url } = router;
    const response = await send(url, key, order, vendor.model, id === "during", { });
    return { status: response.status, headers: response.headers, text: await response.text() };
  };
  const states = async () => {
    const sql = "SELECT tag, state, status, cost FROM usage ORDER BY tag";
    return (await folder.database.execute(sql)).rows.map((row) => ({ ...row }));
  };
  {
    await using served = await serveProgram(folder.env);
    var router = served;
    assertEquals((await ask("before")).status, 200);
    const gate = Promise.withResolvers<void>();
    vendor.gate = gate.promise;
    const during = ask("during");
    while (!vendor.served.has("during")) await turn();
    const mend = await fault.break(folder, served.program.database);
    try {
      const refused = await ask("refused");
      assertEquals(refused.status, 503, refused.text);
      assertStringIncludes(refused.text, "The ledger cannot be written now, so no provider was");
      assertEquals(refused.headers.get("retry-after"), "1");
      assertEquals([...vendor.served.keys()], ["before", "during"]);
      // What runs is served to its end, and recorded when that is possible again.
      gate.resolve();
      assertEquals((await during).status, 200);
      assertEquals((await fetch(`${served.url}/readyz`)).status, 503);
    } finally {
      gate.resolve();
      await during.catch(() => {});
      await mend();
    }
    assertEquals((await ask("after")).status, 200);
  }
  const cost = costOfOrder(await orderOf("", words));
  assertEquals(await states(), [
    { tag: "after", state: "completed", status: 200, cost },
    { tag: "before", state: "completed", status: 200, cost },
    { tag: "during", state: "completed", status: 200, cost },
    { tag: "refused", state: "refused", status: 503, cost: null },
  ]);
  await folder.check();
  assertEquals((await folder.database.execute("SELECT * FROM holds")).rows, []);
}

function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1));
}
