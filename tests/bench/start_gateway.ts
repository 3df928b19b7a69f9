import { join } from "node:path";
import { runAsStarted } from "../support/run_as_started.ts";
import { MODEL } from "./conversation.ts";
import { type Gateway, type Surroundings, upstreamUrl } from "./gateway.ts";
import type { GatewayName } from "./options.ts";
import { startPortkey } from "./portkey.ts";
import { freePort, ServerProcess } from "./server_process.ts";

const HERE = import.meta.dirname ?? ".";
const ROOT = join(HERE, "..", "..");

/** Starts the mock upstream. @returns The row without a gateway. */
export async function startUpstream(
  { children, options, folder }: Omit<Surroundings, "upstreamPort">,
): Promise<Gateway> {
  const port = freePort();
  const flags = ["--port", port, "--events", options.events, "--event-rate", options.eventRate];
  await ServerProcess.start(children, {
    command: [...runAsStarted(join(HERE, "mock_upstream.ts")), ...flags.map(String)],
    log: join(folder, "upstream.log"),
    port,
    probe: "/v1/models",
  });
  return { name: "direct", title: "no gateway", endpoint: { port, model: MODEL, headers: {} } };
}

/**
 * Starts a gateway in front of the mock upstream.
 *
 * @throws {Unavailable} It cannot be had here.
 * @throws {Error} It does not start.
 */
export async function startGateway(name: GatewayName, around: Surroundings): Promise<Gateway> {
  if (name === "xrouter" || name === "no-credit") return await startXRouter(name, around);
  if (name === "portkey") return await startPortkey(around);
  return await startBareProxy(name, around);
}

async function startBareProxy(
  name: "bare" | "pull",
  { children, folder, upstreamPort }: Surroundings,
): Promise<Gateway> {
  const port = freePort();
  const mode = name === "pull" ? "pull" : "untouched";
  const server = await ServerProcess.start(children, {
    command: [
      ...runAsStarted(join(HERE, "bare_proxy.ts")),
      `${port}`,
      upstreamUrl(upstreamPort),
      mode,
    ],
    log: join(folder, `${name}.log`),
    port,
    probe: "/",
  });
  const title = name === "pull" ? "single pull reader" : "bare pass-through";
  return { name, title, server, endpoint: { port, model: MODEL, headers: {} } };
}

/**
 * As `xrouter` it is as expensive as it gets: a key with credit, whose owner pays too, and a model
 * with a price. As `no-credit` it has none of them.
 */
async function startXRouter(
  name: "xrouter" | "no-credit",
  { children, options, folder, upstreamPort }: Surroundings,
): Promise<Gateway> {
  const paid = name === "xrouter";
  const port = freePort();
  const env = {
    PORT: `${port}`,
    XROUTER_HOST: "127.0.0.1",
    DATABASE_URL: `file:${join(folder, `${name}.db`)}`,
    OPENAI_API_KEY: "bench",
    OPENAI_BASE_URL: upstreamUrl(upstreamPort),
    API_RATE_LIMIT: "100000000",
    XROUTER_CONFIG: join(folder, `${name}.json`),
  };
  const price = { currency: "RUB", input: 65, output: 65, cached: 0 };
  const models = { [`openai/${MODEL}`]: paid ? { price } : {} };
  await Deno.writeTextFile(env.XROUTER_CONFIG, JSON.stringify({ models }));
  const create = ["keys", "create", "--name", "bench", "--json"];
  if (paid) create.push("--owner", "bench", "--credit", "1000000");
  const key = await children.run({
    command: [...runAsStarted("main.ts"), ...create],
    cwd: ROOT,
    env,
  });
  const { secret } = JSON.parse(key) as { secret: string };
  const profile = options.profile === undefined || !paid
    ? []
    : ["--cpu-prof", "--cpu-prof-md", `--cpu-prof-dir=${options.profile}`];
  const server = await ServerProcess.start(children, {
    command: [...runAsStarted("main.ts", ...profile), "start"],
    cwd: ROOT,
    env,
    log: join(folder, `${name}.log`),
    port,
    probe: "/ready",
  });
  const headers = { Authorization: `Bearer ${secret}` };
  const endpoint = { port, model: `openai/${MODEL}`, headers };
  return { name, title: paid ? "XRouter" : "XRouter without credit", server, endpoint };
}
