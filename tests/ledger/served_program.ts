/**
 * A whole XRouter in the test's own process.
 *
 * @module
 */
import { createLog } from "../../core/log.ts";
import { Program } from "../../core/program.ts";

/** A running XRouter. Disposing of it lets what runs finish, and writes it. */
export interface ServedProgram extends AsyncDisposable {
  readonly url: string;
  readonly program: Program;
}

/** Starts XRouter with this environment, as `xrouter start` does: its writes have their thread. */
export async function serveProgram(env: Readonly<Record<string, string>>): Promise<ServedProgram> {
  const program = await Program.open(env, createLog(() => {}), undefined, true);
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    program.fetch,
  );
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    program,
    async [Symbol.asyncDispose]() {
      const closed = server.shutdown();
      await program.drain();
      await closed;
      await program.close();
    },
  };
}
