/**
 * Databases that cannot be written for a while, under a program that runs on.
 *
 * @module
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { serveHrana } from "../store/hrana_server.ts";
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
  /** The database is reached over a server. */
  readonly remote?: true;
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

/** The server of the database is gone, and comes back at its address. */
export const gone: Fault = {
  remote: true,
  async break(folder) {
    const port = Number(folder.server!.host.split(":")[1]);
    await folder.server![Symbol.asyncDispose]();
    return () => {
      folder.server = serveHrana(`${folder.path}/xrouter.db`, undefined, port);
      return Promise.resolve();
    };
  },
};

/** The file system has no room left. */
function full(dir: string): Fault {
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
  await using folder = await LedgerFolder.make(vendor, fault);
  const key = await folder.makeKey({ credit: 1_000_000_000 });
  const order = await orderOf("", 20);
  {
    await using router = await serveProgram(folder.env);
    const ask = async (id: string, stream: boolean) => {
      const response = await send(router.url, key, { ...order, id }, vendor.model, stream);
      return { response, text: await response.text() };
    };
    assertEquals((await ask("before", false)).response.status, 200);
    const gate = Promise.withResolvers<void>();
    vendor.gate = gate.promise;
    const during = ask("during", true);
    while (!vendor.served.has("during")) await turn();
    const mend = await fault.break(folder, router.program.database);
    try {
      const { response, text } = await ask("refused", false);
      assertEquals(response.status, 503, text);
      assertStringIncludes(text, "The ledger cannot be written now, so no provider was asked");
      assertEquals(response.headers.get("retry-after"), "1");
      assertEquals([...vendor.served.keys()], ["before", "during"]);
      // What runs is served to its end, and recorded when that is possible again.
      gate.resolve();
      assertStringIncludes((await during).text, "[DONE]");
      const ready = await fetch(`${router.url}/ready`);
      assertEquals(ready.status, 503, await ready.text());
    } finally {
      gate.resolve();
      await mend();
    }
    assertEquals((await ask("after", false)).response.status, 200);
  }
  const { rows } = await folder.database.execute(
    "SELECT tag, state, status, cost FROM usage ORDER BY tag",
  );
  const cost = costOfOrder(order);
  assertEquals(rows.map(({ tag, state, status, cost }) => [tag, state, status, cost]), [
    ["after", "completed", 200, cost],
    ["before", "completed", 200, cost],
    ["during", "completed", 200, cost],
    ["refused", "refused", 503, null],
  ]);
  await folder.check();
  assertEquals((await folder.database.execute("SELECT * FROM holds")).rows, []);
}

function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1));
}

/** Runs the fault of a full disk on a small file system, where this process may mount one. */
export async function runFullDisk(): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "xrouter-full-" });
  if (await run("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", dir)) {
    await runFault(full(dir)).finally(() => unmount(dir));
  } else {
    console.log("skipped: only root can mount a small disk");
  }
  await Deno.remove(dir);
}

async function unmount(dir: string): Promise<void> {
  // Lazily: libSQL closes a connection's file when what was prepared on it is collected.
  await run("umount", "--lazy", dir);
}

async function run(program: string, ...args: string[]): Promise<boolean> {
  try {
    return (await new Deno.Command(program, { args, stderr: "null" }).output()).success;
  } catch {
    return false;
  }
}
