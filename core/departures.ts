/**
 * Notices clients that leave while they wait for a whole answer. The runtime says so only of requests
 * that came in one read, about a kilobyte with their headers; of all others Linux's tables of
 * connections do.
 *
 * @module
 */
import { isIPv4 } from "node:net";
import { type Listed, Roster } from "./roster.ts";

/** Milliseconds between two looks. */
const lookMs = 1_000;

/** Looks without a trace of a connection, which has been there, that show its end. */
const mostMissed = 2;

/** What the tables say of a connection that is open both ways, and of one whose other end has closed. */
const open = "01";
const closed = "08";

/** IPv4 in IPv6, as the tables write it. */
const mapped = "0000000000000000FFFF0000";

const folder = "/proc/net";

/** Who waits, and may leave. */
export interface WaitingClient {
  /** Called once, when it has left. */
  leave(): void;
}

/** Rows of "number: local remote state …" below a heading; each end is an address and a port. */
interface Table {
  readonly text: string;
  /** Characters of an address; those of a port with its colon are {@linkcode portLength}. */
  readonly addressLength: number;
}

const portLength = 5;

interface Waiting extends Listed {
  readonly client: WaitingClient;
  readonly from: () => Deno.Addr | undefined;
  /** As the tables write the client's end of the connection. */
  key?: string;
  seen: boolean;
  missed: number;
}

/** The clients that wait. Elsewhere than on Linux none is seen to leave. */
export class Departures {
  readonly #waiting = new Roster<Waiting>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #looking: Promise<void> | undefined;
  #unreadable = Deno.build.os !== "linux";

  /**
   * Watches until its answer begins or it has left.
   *
   * @param from The client's end of the connection; asked only if it waits for a while.
   * @returns Ends that, for when the answer begins.
   */
  watch(client: WaitingClient, from: () => Deno.Addr | undefined): () => void {
    if (this.#unreadable) return () => {};
    const waiting: Waiting = { place: undefined, client, from, seen: false, missed: 0 };
    this.#waiting.add(waiting);
    this.#schedule();
    return () => this.#forget(waiting);
  }

  #forget(waiting: Waiting): void {
    if (!this.#waiting.delete(waiting) || this.#waiting.size > 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Settles when no look is under way. */
  async idle(): Promise<void> {
    await this.#looking;
  }

  #schedule(): void {
    if (this.#looking !== undefined) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#looking = this.#look().finally(() => {
        this.#looking = undefined;
        if (this.#waiting.size > 0) this.#schedule();
      });
    }, lookMs);
  }

  async #look(): Promise<void> {
    // Who comes while the tables are read may not be in them.
    const looked = this.#waiting.list();
    const keys = new Set(looked.map((each) => each.key ??= keyOf(each.from())));
    const tables = await readTables();
    if (tables === undefined) {
      this.#unreadable = true;
      this.#waiting.clear();
      return;
    }
    const states = statesOf(keys, tables);
    for (const each of looked) {
      if (each.place === undefined || !hasLeft(each, states.get(each.key!))) continue;
      this.#forget(each);
      each.client.leave();
    }
  }
}

function hasLeft(waiting: Waiting, state: string | undefined): boolean {
  if (state !== undefined) {
    waiting.seen = true;
    waiting.missed = 0;
    return state === closed;
  }
  // One that never was in them comes from elsewhere: over a Unix socket, or out of another namespace.
  // And what changes while it is read may hide one that is there.
  return waiting.seen && ++waiting.missed >= mostMissed;
}

/** The states of these connections, of those that are in the tables. */
function statesOf(keys: ReadonlySet<string>, tables: readonly Table[]): Map<string, string> {
  const states = new Map<string, string>();
  for (const { text, addressLength } of tables) {
    // A machine may have ten thousand of them, and every look stops all others meanwhile.
    for (let row = text.indexOf("\n"); row >= 0; row = text.indexOf("\n", row + 1)) {
      const local = text.indexOf(": ", row) + 2;
      const remote = local + addressLength + portLength + 1;
      const end = remote + addressLength + portLength;
      // Most rows are of connections that have ended: a look at two characters passes them over.
      const state = text.startsWith(open, end + 1)
        ? open
        : text.startsWith(closed, end + 1)
        ? closed
        : undefined;
      if (state === undefined) continue;
      const key = text.slice(
        text.startsWith(mapped, remote) ? remote + mapped.length : remote,
        end,
      );
      if (!keys.has(key)) continue;
      // Others of this machine may talk to the same end: an open connection may be the client's.
      if (state === open || states.get(key) !== open) states.set(key, state);
    }
  }
  return states;
}

/** Both tables; `undefined` where this program may not read them. */
async function readTables(): Promise<Table[] | undefined> {
  try {
    // A terminal would be asked otherwise, and everybody would wait for the answer.
    const { state } = await Deno.permissions.query({ name: "read", path: folder });
    if (state !== "granted") return undefined;
    const [ipv4, ipv6] = await Promise.all([
      Deno.readTextFile(`${folder}/tcp`),
      // A machine may know no IPv6.
      Deno.readTextFile(`${folder}/tcp6`).catch(() => ""),
    ]);
    return [{ text: ipv4, addressLength: 8 }, { text: ipv6, addressLength: 32 }];
  } catch {
    return undefined;
  }
}

/** An address and port as the tables write them: each four bytes from the last to the first. */
function keyOf(from: Deno.Addr | undefined): string {
  if (from === undefined || !("hostname" in from)) return "";
  const { hostname, port } = from;
  const plain = hostname.replace(/^::ffff:(?=\d+\.)/i, "");
  const bytes = isIPv4(plain) ? plain.split(".").map(Number) : ipv6Bytes(plain);
  const words: string[] = [];
  for (let at = 0; at < bytes.length; at += 4) {
    words.push(bytes.slice(at, at + 4).reverse().map((byte) => hex(byte, 2)).join(""));
  }
  return `${words.join("")}:${hex(port, 4)}`;
}

/** The sixteen bytes of an address without IPv4 in it. */
function ipv6Bytes(address: string): number[] {
  const [before = [], after = []] = address.split("::").map((half) =>
    half === "" ? [] : half.split(":")
  );
  const zeros = Array<string>(Math.max(0, 8 - before.length - after.length)).fill("0");
  return [...before, ...zeros, ...after].flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}

function hex(value: number, digits: number): string {
  return value.toString(16).toUpperCase().padStart(digits, "0");
}
