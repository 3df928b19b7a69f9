/**
 * `deno task bench`: what XRouter costs, beside a bare Deno proxy and Portkey's gateway.
 *
 * Every server is a process of its own in front of the same mock upstream; processor time and peak
 * memory come from Linux's `/proc`. The gateways take short turns over several rounds, because the
 * same test on a shared machine can differ by a factor of two between minutes: trust the ratios.
 * Nothing is asserted about time; the exit code is 1 if an answer was wrong or a gateway did not
 * start, and 2 for a command line that is not understood.
 *
 * `--profile FOLDER` writes V8 processor profiles of XRouter there, one for its main thread and one
 * for each worker that it ends itself: `.cpuprofile` for Chrome's developer tools, `.md` to read.
 * Sampling costs time, so take no ratios from such a run.
 *
 * @module
 */
import { Children } from "./children.ts";
import type { Gateway, Surroundings } from "./gateway.ts";
import { eventStreams, interleave, wholeAnswers } from "./measure.ts";
import { type BenchOptions, parseOptions, USAGE, UsageError } from "./options.ts";
import { Unavailable } from "./portkey.ts";
import { formatReport, type Results } from "./report.ts";
import { startGateway, startUpstream } from "./start_gateway.ts";
import { checkTargets, summariseStreams, summariseWhole } from "./summary.ts";

async function main(args: readonly string[]): Promise<number> {
  let options: BenchOptions;
  try {
    options = parseOptions(args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`${error.message}\n${USAGE}`);
    return 2;
  }
  if (Deno.build.os !== "linux") {
    console.error("The benchmark reads processor time from /proc: run it on Linux");
    return 1;
  }
  const children = new Children();
  const interruption = new AbortController();
  const interrupted = Promise.withResolvers<number>();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => {
      interruption.abort();
      interrupted.resolve(130);
    });
  }
  const folder = await Deno.makeTempDir({ prefix: "xrouter-bench-" });
  try {
    return await Promise.race([
      bench(options, children, folder, interruption.signal),
      interrupted.promise,
    ]);
  } catch (error) {
    console.error((error as Error).message);
    return 1;
  } finally {
    await children.stopAll();
    await Deno.remove(folder, { recursive: true });
  }
}

async function bench(
  options: BenchOptions,
  children: Children,
  folder: string,
  signal: AbortSignal,
): Promise<number> {
  const direct = await startUpstream({ children, options, folder });
  const upstreamPort = direct.endpoint.port;
  const started = await startGateways({ children, options, folder, upstreamPort });
  const { absent } = started;
  const gateways = [direct, ...started.gateways];

  const progress = (kind: string) => (round: number, title: string) => {
    const turn = round === 0 ? "warm-up" : `round ${round} of ${options.rounds}`;
    console.error(`${kind}, ${turn}: ${title}`);
  };
  // Of whole answers the single pull reader makes nothing but what the bare pass-through makes, and
  // an event costs no credit.
  const wholeGateways = gateways.filter(({ name }) => name !== "pull");
  const streamGateways = gateways.filter(({ name }) => name !== "no-credit");
  const whole = await interleave(
    wholeGateways,
    options,
    wholeAnswers,
    progress("Whole answers"),
    signal,
  );
  const streams = await interleave(
    streamGateways,
    options,
    eventStreams,
    progress("Streams"),
    signal,
  );

  signal.throwIfAborted();
  const results: Results = {
    whole: summariseWhole(whole),
    streams: summariseStreams(streams),
    targets: checkTargets(whole, streams),
    absent,
  };
  console.log(
    options.json
      ? JSON.stringify({ options, ...results }, null, 2)
      : formatReport(results, options),
  );
  const wrong = [...whole, ...streams].some(({ error }) => error !== undefined);
  return wrong || started.failed ? 1 : 0;
}

async function startGateways(
  around: Surroundings,
): Promise<{ gateways: Gateway[]; absent: string[]; failed: boolean }> {
  const gateways: Gateway[] = [];
  const absent: string[] = [];
  let failed = false;
  for (const name of around.options.only) {
    console.error(`Starting ${name}`);
    try {
      gateways.push(await startGateway(name, around));
    } catch (error) {
      const unavailable = error instanceof Unavailable;
      const what = unavailable ? "cannot be had here" : "did not start";
      absent.push(`- ${name} ${what}. ${(error as Error).message}`);
      failed ||= !unavailable;
    }
  }
  return { gateways, absent, failed };
}

if (import.meta.main) Deno.exit(await main(Deno.args));
