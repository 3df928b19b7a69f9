import { join } from "node:path";
import type { Children } from "./children.ts";
import { MODEL } from "./conversation.ts";
import { type Gateway, type Surroundings, upstreamUrl } from "./gateway.ts";
import { freePort, ServerProcess } from "./server_process.ts";

const PACKAGE = "@portkey-ai/gateway";
const VERSION = "1.15.2";

/**
 * The server library's version that Portkey's own repository locks. With the newest, which a plain
 * installation brings, it answers every stream with 500
 * (https://github.com/Portkey-AI/gateway/issues/1389).
 */
const SERVER_LIBRARY = "1.13.5";

/** Portkey has no setting for its address and would listen on every interface. */
const LISTEN_ON_LOOPBACK = `
import { Server } from "node:net";
const { listen } = Server.prototype;
Server.prototype.listen = function (port, _host, ...rest) {
  return listen.call(this, port, "127.0.0.1", ...rest);
};`;

/** Node.js or the package cannot be had on this machine; the row is left out. */
export class Unavailable extends Error {
  override readonly name = "Unavailable";
}

/**
 * Starts Portkey's gateway under Node.js, without its console page.
 *
 * @throws {Unavailable} It cannot be had here.
 * @throws {Error} It does not start.
 */
export async function startPortkey(
  { children, folder, upstreamPort }: Surroundings,
): Promise<Gateway> {
  const port = freePort();
  const preload = `data:text/javascript,${encodeURIComponent(LISTEN_ON_LOOPBACK)}`;
  const script = await install(children, folder);
  const server = await ServerProcess.start(children, {
    command: ["node", `--import=${preload}`, script, "--headless", `--port=${port}`],
    log: join(folder, "portkey.log"),
    port,
    probe: "/",
  });
  const headers = {
    "x-portkey-provider": "openai",
    "x-portkey-custom-host": upstreamUrl(upstreamPort),
    Authorization: "Bearer x",
  };
  const title = `Portkey ${VERSION}`;
  return { name: "portkey", title, server, endpoint: { port, model: MODEL, headers } };
}

/** Installs the package once into the user's cache. @returns Its start script. */
async function install(children: Children, folder: string): Promise<string> {
  const cache = Deno.env.get("XDG_CACHE_HOME") || join(Deno.env.get("HOME") || folder, ".cache");
  const prefix = join(cache, "xrouter-bench", `portkey-${VERSION}-${SERVER_LIBRARY}`);
  const modules = join(prefix, "node_modules");
  const npm = ["npm", "install", "--prefix", prefix, "--ignore-scripts", "--no-audit", "--no-fund"];
  const manifest = {
    private: true,
    dependencies: { [PACKAGE]: VERSION },
    overrides: { "@hono/node-server": SERVER_LIBRARY },
  };
  try {
    await children.run({ command: ["node", "--version"] });
    // npm writes this file last, so an installation that was cut off is done again.
    const done = await Deno.stat(join(modules, ".package-lock.json")).then(() => true, () => false);
    if (!done) {
      await Deno.mkdir(prefix, { recursive: true });
      await Deno.writeTextFile(join(prefix, "package.json"), JSON.stringify(manifest));
      await children.run({ command: npm, wholeEnv: true });
    }
  } catch (error) {
    throw new Unavailable((error as Error).message);
  }
  return join(modules, PACKAGE, "build", "start-server.js");
}
