import { createClient } from "@libsql/client";
import { fileURLToPath } from "node:url";

/** A write transaction that another process holds on a database file. */
export interface WriteLock {
  /** Rolls the transaction back and waits for the process to end. */
  release(): Promise<void>;
}

/** Starts a process that holds the write lock of the database `file` until released. */
export async function holdWriteLock(file: string): Promise<WriteLock> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "--no-lock", fileURLToPath(import.meta.url), file],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.getReader();
  const first = await reader.read();
  if (first.done) throw new Error("The process ended without the lock");
  return {
    async release() {
      await child.stdin.close();
      while (!(await reader.read()).done);
      await child.status;
    },
  };
}

if (import.meta.main) {
  const client = createClient({ url: `file:${Deno.args[0]}` });
  const transaction = await client.transaction("write");
  console.log("locked");
  for await (const _ of Deno.stdin.readable);
  await transaction.rollback();
  client.close();
}
