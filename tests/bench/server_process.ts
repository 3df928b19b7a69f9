import { setTimeout as delay } from "node:timers/promises";
import { type ChildOptions, type Children, tail } from "./children.ts";
import { HttpConnection } from "./http_connection.ts";

/** Linux counts processor time in hundredths of a second, whatever the kernel's own tick is. */
const MICROS_PER_TICK = 10_000;
const READY_WITHIN_MS = 30_000;

/** A server under measurement: one process, read through `/proc/<pid>` (proc(5)). */
export class ServerProcess {
  /** Port on 127.0.0.1. */
  readonly port: number;
  readonly #pid: number;
  readonly #log: string;

  private constructor(port: number, pid: number, log: string) {
    this.port = port;
    this.#pid = pid;
    this.#log = log;
  }

  /**
   * Starts a server and waits until `GET probe` is answered with 200.
   *
   * @throws {Error} The server ended or is not ready within 30 seconds; with its last lines.
   */
  static async start(
    children: Children,
    { log, port, probe, ...options }: ChildOptions & { log: string; port: number; probe: string },
  ): Promise<ServerProcess> {
    const child = children.start(options, log);
    const server = new ServerProcess(port, child.pid, log);
    let ended = false;
    child.status.then(() => ended = true);
    const until = performance.now() + READY_WITHIN_MS;
    while (!await answers(port, probe)) {
      if (ended || performance.now() > until) {
        const why = ended ? "ended" : "is not ready after 30 seconds";
        await children.stop(child);
        throw new Error(`The server ${why}. ${await server.lastLines()}`);
      }
      await delay(50);
    }
    return server;
  }

  /**
   * Processor time used so far by all threads, user and system, in microseconds. Waits until it
   * stands still, at most 2 seconds: work put off past the answer, such as records written in
   * groups, belongs to the requests that caused it.
   */
  async cpuMicros(): Promise<number> {
    let before = this.#cpuTicks();
    for (let turn = 0; turn < 10; turn++) {
      await delay(200);
      const now = this.#cpuTicks();
      if (now === before) break;
      before = now;
    }
    return before * MICROS_PER_TICK;
  }

  /** The most memory the process ever had resident, in bytes. */
  peakMemory(): number {
    return this.#memory("VmHWM");
  }

  /** The memory that the process has resident now, in bytes. */
  residentMemory(): number {
    return this.#memory("VmRSS");
  }

  /** How the server's log ends, for a message. */
  async lastLines(): Promise<string> {
    return `Its log ends with:\n${tail(await Deno.readTextFile(this.#log))}`;
  }

  #memory(field: "VmHWM" | "VmRSS"): number {
    const kibibytes = new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(this.#read("status"))?.[1];
    return Number(kibibytes) * 1024;
  }

  #cpuTicks(): number {
    const stat = this.#read("stat");
    // The second field, the program's name, is in parentheses and may hold spaces.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return Number(fields[11]) + Number(fields[12]);
  }

  #read(file: string): string {
    try {
      return Deno.readTextFileSync(`/proc/${this.#pid}/${file}`);
    } catch (error) {
      throw new Error("The server has ended", { cause: error });
    }
  }
}

/** A port of 127.0.0.1 that was free a moment ago. */
export function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

async function answers(port: number, path: string): Promise<boolean> {
  let connection: HttpConnection | undefined;
  let patience: ReturnType<typeof setTimeout> | undefined;
  try {
    const open = connection = await HttpConnection.open(port);
    patience = setTimeout(() => open.close(), 1_000);
    const request = `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`;
    const { status } = await open.exchange(new TextEncoder().encode(request), () => {});
    return status === 200;
  } catch {
    return false;
  } finally {
    clearTimeout(patience);
    connection?.close();
  }
}
