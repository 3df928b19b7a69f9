/**
 * `xrouter start`: serves until it is told to stop.
 *
 * @module
 */
import { readEnvironment } from "../config.ts";
import { createLog, StderrLines } from "../log.ts";
import { Program } from "../program.ts";
import { KeyStore } from "../store/keys.ts";

/**
 * Runs the server. On the first start it makes a key and prints a `curl` line that uses it.
 *
 * @returns When SIGINT or SIGTERM has come, running answers have finished and all is recorded.
 * @throws {Error} when it cannot start; the message lists what to mend.
 */
export async function start(): Promise<number> {
  const lines = new StderrLines();
  const log = createLog(lines.write);
  const program = await Program.open(readEnvironment(), log);
  const { host, port } = program.config.settings;
  const stopped = Promise.withResolvers<string>();
  let server: Deno.HttpServer<Deno.NetAddr>;
  try {
    server = Deno.serve({
      hostname: host,
      port,
      onListen: () => {},
      onError: (error) => {
        log.error("a request could not be answered", { error: String(error) });
        return new Response(null, { status: 500 });
      },
    }, program.fetch);
  } catch (error) {
    await program.close();
    if (error instanceof Deno.errors.AddrInUse) {
      throw new Error(`Port ${port} of ${host} is taken. Set PORT to a free one`);
    }
    if (error instanceof Deno.errors.AddrNotAvailable) {
      throw new Error(`This machine has no address "${host}". Correct XROUTER_HOST`);
    }
    throw error;
  }
  const url = `http://${host.includes(":") ? `[${host}]` : host}:${server.addr.port}`;
  await greet(program, url);
  let asked = 0;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => {
      // Who asks twice does not want to wait.
      if (++asked > 1) Deno.exit(1);
      stopped.resolve(signal);
    });
  }
  log.info("started", { url });
  const signal = await stopped.promise;
  log.info("stopping", { signal });
  // Accepts nothing more. It waits for every connection, also for one that never sends its body, so
  // it is not waited for.
  void server.shutdown();
  await program.drain();
  await program.close();
  log.info("stopped");
  lines.flush();
  return 0;
}

/** Says where it listens and how to make the first call. */
async function greet(program: Program, url: string): Promise<void> {
  const keys = new KeyStore(program.database);
  console.log(`XRouter listens on ${url}`);
  if (!await keys.isEmpty()) return;
  const { secret } = await keys.create({ name: "first" });
  console.log(`
This is the first start. Here is a key; it is shown only now:

  ${secret}

Try it:

  curl ${url}/v1/chat/completions -H "Authorization: Bearer ${secret}" -H "Content-Type: application/json" -d '{"model":"echo","messages":[{"role":"user","content":"Hello, XRouter"}]}'
`);
}
