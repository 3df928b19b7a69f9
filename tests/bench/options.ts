import { resolve } from "node:path";
import { parseArgs } from "node:util";

/** The gateways that can be measured, in the order of the tables. */
export const GATEWAYS = ["bare", "pull", "no-credit", "xrouter", "portkey"] as const;

/** A gateway's name on the command line. */
export type GatewayName = typeof GATEWAYS[number];

/** What the benchmark was asked to do. */
export interface BenchOptions {
  /** Gateways to measure. */
  only: readonly GatewayName[];
  /** Rounds that count; each gateway has its turn in each. */
  rounds: number;
  /**
   * How long each gateway is loaded before it is measured, for whole answers and for streams. The
   * more code a gateway has, the longer a just-in-time compiler works beside it: XRouter takes 1.6
   * times as much processor time a request in its first two seconds under full load as after twenty.
   */
  warmUp: number;
  /** Length of a slice of whole answers. */
  seconds: number;
  /** Length of a slice of streams. */
  streamSeconds: number;
  /** Connections that ask without a pause when processor time and throughput are measured. */
  connections: number;
  /** Requests a second when latency is measured. */
  rate: number;
  /** Streams open at once. */
  streams: number;
  /** Content events of a stream. */
  events: number;
  /** Content events a second of a stream. */
  eventRate: number;
  /** Print JSON instead of tables. */
  json: boolean;
  /** Folder for XRouter's processor profiles. */
  profile?: string;
}

/** A command line that the benchmark does not understand; the message says what and the cure. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** The line that follows a {@linkcode UsageError}. */
export const USAGE =
  "Usage: deno task bench [--quick] [--json] [--only bare,pull,no-credit,xrouter,portkey] " +
  "[--rounds N] [--warm-up S] [--seconds S] [--stream-seconds S] [--connections N] [--rate R] " +
  "[--streams N] [--events N] [--event-rate R] [--profile FOLDER]";

const NORMAL = { rounds: 5, warmUp: 20, seconds: 3, streamSeconds: 5 };
const QUICK = { rounds: 2, warmUp: 3, seconds: 1, streamSeconds: 2 };

/** Reads the command line. @throws {UsageError} An unknown flag or a value out of range. */
export function parseOptions(args: readonly string[]): BenchOptions {
  const flags = parseFlags(args);
  const short = flags.quick ? QUICK : NORMAL;
  const number = (flag: NumberFlag, otherwise: number) => {
    const text = flags[flag];
    if (text === undefined) return otherwise;
    if (!/^[1-9]\d{0,5}$/.test(text)) {
      throw new UsageError(`Give --${flag} a whole number from 1 to 999999, not "${text}"`);
    }
    return Number(text);
  };
  return {
    only: parseOnly(flags.only),
    rounds: number("rounds", short.rounds),
    warmUp: number("warm-up", short.warmUp),
    seconds: number("seconds", short.seconds),
    streamSeconds: number("stream-seconds", short.streamSeconds),
    connections: number("connections", 32),
    rate: number("rate", 100),
    streams: number("streams", 100),
    events: number("events", 100),
    eventRate: number("event-rate", 100),
    json: flags.json ?? false,
    ...(flags.profile === undefined ? {} : { profile: resolve(flags.profile) }),
  };
}

type NumberFlag =
  | "rounds"
  | "warm-up"
  | "seconds"
  | "stream-seconds"
  | "connections"
  | "rate"
  | "streams"
  | "events"
  | "event-rate";

function parseFlags(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        quick: { type: "boolean" },
        json: { type: "boolean" },
        only: { type: "string" },
        rounds: { type: "string" },
        "warm-up": { type: "string" },
        seconds: { type: "string" },
        "stream-seconds": { type: "string" },
        connections: { type: "string" },
        rate: { type: "string" },
        streams: { type: "string" },
        events: { type: "string" },
        "event-rate": { type: "string" },
        profile: { type: "string" },
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function parseOnly(text: string | undefined): readonly GatewayName[] {
  if (text === undefined) return GATEWAYS;
  const names = text.split(",").map((name) => name.trim());
  const unknown = names.find((name) => !GATEWAYS.some((known) => known === name));
  if (unknown !== undefined) {
    throw new UsageError(`Give --only names out of ${GATEWAYS.join(", ")}, not "${unknown}"`);
  }
  return GATEWAYS.filter((name) => names.includes(name));
}
