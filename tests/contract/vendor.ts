/**
 * The vendors that the contract of providers is tested against.
 *
 * @module
 */
import type { Provider } from "../../core/provider.ts";
import { settingsOf } from "../../core/settings.ts";
import {
  delta,
  ending,
  event,
  Script,
  startUpstream,
  streamed,
  wholeAnswer,
} from "../support/upstream.ts";

/** What the next chats get: an answer, a 401, or the beginning of a stream and then silence. */
export type Behaviour = "answer" | "unauthorized" | "silence";

/** A vendor that one provider can talk to. */
export interface ContractVendor extends AsyncDisposable {
  /** The environment that leads the provider here, signed in. */
  readonly env: Record<string, string>;
  /** A model of the vendor. */
  readonly model: string;
  /** Sets what the next chats get. */
  behave(behaviour: Behaviour): void;
  /** The bodies of the chats so far. */
  readonly chats: readonly unknown[];
  /** Resolves when the caller of the last chat has hung up. */
  left(): Promise<unknown>;
}

/**
 * Starts the vendor of a provider: `tests/contract/{name}_vendor.ts` exports `startVendor` where the
 * vendor does not speak OpenAI; every other one is stood in for by one that does.
 */
export async function startVendor(provider: Provider): Promise<ContractVendor> {
  const own = new URL(`${provider.name}_vendor.ts`, import.meta.url);
  const exists = await Deno.stat(own).then(() => true, () => false);
  if (exists) return await (await import(own.href)).startVendor();
  if (provider.decoder !== undefined) {
    throw new Error(
      `Provider "${provider.name}" does not speak OpenAI: test it against a vendor of its own. ` +
        `Export startVendor from ${own.pathname}`,
    );
  }
  return startOpenai(provider);
}

/** A vendor that speaks OpenAI, with the oddities that are seen in the wild. */
function startOpenai(provider: Provider): ContractVendor {
  let behaviour: Behaviour = "answer";
  let script = new Script();
  const upstream = startUpstream(async ({ body }) => {
    if (behaviour === "unauthorized") {
      return Response.json({ error: { message: "Wrong key" } }, { status: 401 });
    }
    if (behaviour === "silence") {
      script = new Script();
      await script.send(delta("Hel"));
      return script.response();
    }
    if (!body.stream) return wholeAnswer();
    const empty = event({ id: "chatcmpl-1", choices: [] });
    return streamed(empty, delta("Hello."), empty, ...ending());
  });
  const variable = provider.name.toUpperCase().replaceAll("-", "_");
  // Whatever has no default is set: keys, and what goes with them.
  const words = provider.settings === undefined
    ? [`${variable}_API_KEY`]
    : settingsOf(provider.settings).values().flatMap(({ schema, variable }) =>
      variable !== undefined && schema.safeParse(undefined).data === undefined ? [variable] : []
    );
  return {
    env: {
      [`${variable}_BASE_URL`]: upstream.url,
      ...Object.fromEntries([...words].map((name) => [name, "contract-secret"])),
    },
    model: Object.keys(provider.models ?? {})[0] ?? "vendor-model",
    behave: (next) => behaviour = next,
    get chats() {
      return upstream.seen.map(({ body }) => body);
    },
    left: () => upstream.seen.at(-1)!.closed,
    async [Symbol.asyncDispose]() {
      await script.break();
      await upstream[Symbol.asyncDispose]();
    },
  };
}
