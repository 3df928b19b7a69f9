/**
 * A kernel on a real socket, with plugins and providers written in the test.
 *
 * @module
 */
import { isPath, type Path } from "../../core/body.ts";
import { Catalog } from "../../core/catalog.ts";
import { Kernel } from "../../core/kernel.ts";
import { createLog } from "../../core/log.ts";
import type { Hooks, Outcome, Route, Timeouts } from "../../core/plugin.ts";
import type { Provider } from "../../core/provider.ts";
import { readBody } from "../../core/request_body.ts";
import { Transport } from "../../core/transport.ts";

/** What a test kernel is made of. */
export interface KernelSetup {
  /** Providers; without `settings` they take `{NAME}_API_KEY` from `env`. */
  providers?: readonly Provider[];
  /** Hooks in order, before those that route and record. */
  plugins?: readonly { name?: string; onError?: "reject" | "skip"; hooks: Hooks }[];
  /** How a request is routed; its targets are `model` and `models`, as `provider/model`. */
  route?: Partial<Omit<Route, "timeouts">> & { timeouts?: Partial<Timeouts> };
  env?: Record<string, string>;
  drainMs?: number;
  keepAliveMs?: number;
}

/** A running kernel. */
export interface TestKernel extends AsyncDisposable {
  readonly kernel: Kernel;
  readonly catalog: Catalog;
  readonly log: Record<string, unknown>[];
  /** How each exchange ended, the first that ended first. */
  readonly outcomes: readonly Outcome[];
  /** Posts a chat request. */
  chat(body: unknown, init?: RequestInit): Promise<Response>;
  /** Waits until `count` exchanges have ended. @returns The last of them. */
  ended(count?: number): Promise<Outcome>;
  /** Where it listens. */
  readonly port: number;
}

/** Limits of a test: those of the beginning are all the same unless it says otherwise. */
export function limits({ firstByte = 10_000, ...rest }: Partial<Timeouts> = {}): Timeouts {
  const beginning = { firstByte, firstToken: firstByte, last: firstByte, whole: firstByte };
  return { ...beginning, idle: 10_000, total: 20_000, ...rest };
}

/** Starts a kernel; at its end it waits for what still runs. */
export function startKernel(setup: KernelSetup): TestKernel {
  const log: Record<string, unknown>[] = [];
  const outcomes: Outcome[] = [];
  const waiting: { count: number; resolve: (outcome: Outcome) => void }[] = [];
  const transports = (setup.providers ?? []).map((provider) => {
    const { transport, problems } = Transport.connect(provider, { env: setup.env ?? {}, file: {} });
    if (transport === undefined) throw new Error(JSON.stringify(problems));
    return transport;
  });
  const catalog = new Catalog(transports);
  const router: Hooks = {
    onRoute({ body }) {
      const targets = [...new Set([body.model, ...body.models ?? []])].map((name) => {
        const slash = name.indexOf("/");
        return catalog.target(name.slice(0, slash), name.slice(slash + 1));
      });
      const { timeouts, ...rest } = setup.route ?? {};
      return {
        targets,
        attempts: 4,
        retries: 0,
        time: 20_000,
        onBreak: "error",
        ...rest,
        timeouts: limits(timeouts),
      };
    },
  };
  const recorder: Hooks = {
    onFinish(_x, outcome) {
      outcomes.push(outcome);
      for (const { count, resolve } of waiting) {
        if (count === outcomes.length) resolve(outcome);
      }
    },
  };
  const kernel = new Kernel({
    plugins: [...setup.plugins ?? [], { name: "router", hooks: router }, {
      name: "recorder",
      hooks: recorder,
    }].map(({ name = "own", onError = "reject", hooks }) => ({
      name,
      file: `${name}.ts`,
      onError,
      hooks,
    })),
    time: setup.route?.time ?? 20_000,
    catalog,
    currency: "RUB",
    log: createLog((line) => log.push(JSON.parse(line))),
    drainMs: setup.drainMs ?? 10_000,
    keepAliveMs: setup.keepAliveMs ?? 10_000,
    unsupported: "refuse",
  });
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request, { remoteAddr }) => {
      const read = () => readBody(request, 1024 * 1024);
      return kernel.handle(request, pathOf(request), read, () => remoteAddr);
    },
  );
  return {
    kernel,
    catalog,
    log,
    outcomes,
    port: server.addr.port,
    chat: (body, init = {}) =>
      fetch(`http://127.0.0.1:${server.addr.port}/`, {
        method: "POST",
        body: JSON.stringify(body),
        headers: { "content-type": "application/json" },
        ...init,
      }),
    ended(count = 1) {
      const outcome = outcomes[count - 1];
      if (outcome !== undefined) return Promise.resolve(outcome);
      const { promise, resolve } = Promise.withResolvers<Outcome>();
      waiting.push({ count, resolve });
      return promise;
    },
    async [Symbol.asyncDispose]() {
      await server.shutdown();
      await kernel.drain(5_000);
      await Promise.all(transports.map((transport) => transport.close()));
    },
  };
}

/** A test posts chats to any path. */
function pathOf({ url }: Request): Path {
  const { pathname } = new URL(url);
  return isPath(pathname) ? pathname : "/v1/chat/completions";
}

/** A provider inside this process, whose answer's body is read chunk by chunk, as the test cuts it. */
export function inProcess(
  answer: (request: Request) => Response | Promise<Response>,
  rest: Partial<Provider> = {},
): Provider {
  return {
    name: "vendor",
    baseUrl: "http://vendor.invalid/v1",
    fetch: async (request) => await answer(request),
    ...rest,
  };
}

/** A stream of events whose reads are exactly `parts`. */
export function inParts(parts: Iterable<Uint8Array | string>): Response {
  const encoder = new TextEncoder();
  const bytes = Array.from(parts, (part) => typeof part === "string" ? encoder.encode(part) : part);
  return new Response(ReadableStream.from(bytes), {
    headers: { "content-type": "text/event-stream" },
  });
}
