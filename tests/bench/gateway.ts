import type { Children } from "./children.ts";
import type { Endpoint } from "./load_generator.ts";
import type { BenchOptions, GatewayName } from "./options.ts";
import type { ServerProcess } from "./server_process.ts";

/** A gateway that runs, and how to ask it. */
export interface Gateway {
  /** `direct` is the row without a gateway: the load goes to the mock upstream itself. */
  name: GatewayName | "direct";
  /** Its name in the tables. */
  title: string;
  endpoint: Endpoint;
  /** Absent for `direct`, whose processor time is nobody's cost. */
  server?: ServerProcess;
}

/** What every gateway is started with. */
export interface Surroundings {
  children: Children;
  options: BenchOptions;
  /** A folder that is removed afterwards. */
  folder: string;
  /** The mock upstream's port on 127.0.0.1. */
  upstreamPort: number;
}

/** The mock upstream's base URL. */
export function upstreamUrl(port: number): string {
  return `http://127.0.0.1:${port}/v1`;
}
