/**
 * `xrouter start`: serves until it is told to stop.
 *
 * @module
 */
import { codeLimits } from "../code_limits.ts";
import { readEnvironment } from "../config.ts";
import { createLog, StderrLines } from "../log.ts";
import { Program } from "../program.ts";
import { KeyStore } from "../store/keys.ts";
import { urlOf, urlToCall } from "./own_address.ts";
import { logUncaught } from "./uncaught.ts";

/** Milliseconds after the signal in which connections are still taken. */
const arrivalMs = 100;

/**
 * Milliseconds after the first signal in which another one says the same: `deno task` passes on what
 * a terminal or a process manager has sent to the server as well.
 */
const echoMs = 1_000;

/**
 * Runs the server. On the first start it makes a key and prints a `curl` line that uses it.
 *
 * @returns When SIGINT or SIGTERM has come, running answers have finished and all is recorded.
 * @throws {Error} when it cannot start; the message lists what to mend.
 */
export async function start(): Promise<number> {
  const lines = new StderrLines();
  const log = createLog(lines.write);
  const program = await Program.open(readEnvironment(), log, codeLimits, true);
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
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`Cannot listen on "${host}": ${reason}. Correct XROUTER_HOST or PORT`);
  }
  const url = urlOf(host, server.addr.port);
  // Before anything is printed: who reads the address may stop it at once.
  let askedTick: number | undefined;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => {
      askedTick ??= performance.now();
      // Who asks again does not want to wait.
      if (performance.now() - askedTick > echoMs) Deno.exit(1);
      stopped.resolve(signal);
    });
  }
  logUncaught(log);
  // A terminal that is closed ends what runs in it; anybody else asks for a reload.
  if (Deno.build.os !== "windows" && !Deno.stdin.isTerminal()) {
    Deno.addSignalListener("SIGHUP", () => void program.reload());
  }
  await greet(program, url, urlToCall(host, server.addr.port));
  log.info("started", { url, watching: program.watch() });
  const signal = await stopped.promise;
  log.info("stopping", { signal });
  // What was sent before the signal may still be on its way in.
  await pause(arrivalMs);
  const end = performance.now() + program.config.settings.stopSeconds * 1000;
  const left = () => Math.max(0, end - performance.now());
  const closed = server.shutdown();
  await program.drain(left());
  // Answers that clients still read have the rest of the time.
  await Promise.race([closed, pause(Math.max(1_000, left()))]);
  await program.drain(left());
  const isWhole = await program.close();
  log.info("stopped");
  lines.flush();
  return isWhole ? 0 : 1;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Says where it listens and how to make the first call. */
async function greet(program: Program, url: string, called: string): Promise<void> {
  const keys = new KeyStore(program.database);
  console.log(`XRouter listens on ${url}`);
  if (!await keys.isEmpty()) return;
  const { secret } = await keys.create({ name: "first" });
  console.log(`
This is the first start. Here is a key; it is shown only now:

  ${secret}

Try it:

  curl "${called}/v1/chat/completions" -H "Authorization: Bearer ${secret}" -H "Content-Type: application/json" -d '{"model":"echo","messages":[{"role":"user","content":"Hello, XRouter"}]}'
`);
}
