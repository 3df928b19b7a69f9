/**
 * The lab for load: vendors and program as processes of their own.
 *
 * @module
 */
import { join } from "node:path";
import { Children } from "../bench/children.ts";
import { freePort, ServerProcess } from "../bench/server_process.ts";
import { runAsStarted } from "../support/run_as_started.ts";
import { type PreparedSystem, prepareSystem } from "./system.ts";

const root = join(import.meta.dirname!, "..", "..");

/** A running program and its vendors. */
export class LoadedSystem implements AsyncDisposable {
  /** The program. */
  readonly server: ServerProcess;
  /** The port of the vendor that is asked first. */
  readonly vendorPort: number;
  readonly secret: string;
  readonly #children: Children;
  readonly #prepared: PreparedSystem;

  private constructor(
    server: ServerProcess,
    vendorPort: number,
    children: Children,
    prepared: PreparedSystem,
  ) {
    this.server = server;
    this.vendorPort = vendorPort;
    this.secret = prepared.secret;
    this.#children = children;
    this.#prepared = prepared;
  }

  /**
   * Starts one.
   *
   * @param pace What the program's time limits are multiplied with.
   * @throws {Error} The program or the vendors do not start; with the end of their log.
   */
  static async start(pace: number): Promise<LoadedSystem> {
    const [bad, good, port] = [freePort(), freePort(), freePort()];
    const urls = { bad: `http://127.0.0.1:${bad}/v1`, good: `http://127.0.0.1:${good}/v1` };
    const env = { PORT: `${port}`, API_RATE_LIMIT: "100000000" };
    const prepared = await prepareSystem({ vendors: urls, pace, env });
    const children = new Children();
    try {
      await ServerProcess.start(children, {
        command: [
          ...runAsStarted(join(import.meta.dirname!, "vendor_process.ts")),
          `${bad}`,
          `${good}`,
        ],
        log: join(prepared.folder, "vendors.log"),
        port: good,
        probe: "/v1/models",
      });
      const server = await ServerProcess.start(children, {
        command: [...runAsStarted("main.ts"), "start"],
        cwd: root,
        env: prepared.env,
        log: join(prepared.folder, "xrouter.log"),
        port,
        probe: "/ready",
      });
      return new LoadedSystem(server, bad, children, prepared);
    } catch (error) {
      await children.stopAll();
      await prepared[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#children.stopAll();
    await this.#prepared[Symbol.asyncDispose]();
  }
}
