import { assertEquals } from "@std/assert";
import { z } from "zod";
import { codeLimits } from "../../core/code_limits.ts";
import { defineProvider, type Provider } from "../../core/provider.ts";
import { Transport } from "../../core/transport.ts";
import { startUpstream, wholeAnswer } from "../support/upstream.ts";
import openai from "../../providers/openai.ts";

Deno.test("Transport takes only addresses that can be called and hold no secret", () => {
  for (
    const [address, message] of [
      ["api.example.com/v1", "must be a URL such as https://api.example.com/v1"],
      ["file:///etc/passwd", "must be a URL such as https://api.example.com/v1"],
      ["ftp://api.example.com", "must be a URL such as https://api.example.com/v1"],
      ["https://user@api.example.com", "must not hold a user or a password"],
      ["https://user:CANARY@api.example.com", "must not hold a user or a password"],
      [
        "https://api.example.com/v1?key=CANARY",
        "must end with its path, without a query or a fragment: calls append to it",
      ],
      [
        "https://api.example.com/v1#CANARY",
        "must end with its path, without a query or a fragment: calls append to it",
      ],
    ] as const
  ) {
    const env = { OPENAI_BASE_URL: address, OPENAI_API_KEY: "sk-1" };
    const { transport, problems } = Transport.connect(openai, { env, file: undefined });
    assertEquals(transport, undefined, address);
    assertEquals(problems, [{ at: "OPENAI_BASE_URL", message }], address);
  }
});

Deno.test("Transport of a provider without an address needs that, and no key", () => {
  const provider = defineProvider({ name: "own" }) as Provider;
  const missing = (env: Record<string, string>) => {
    const { transport } = Transport.connect(provider, { env, file: undefined });
    transport!.close();
    return [transport!.missing, transport!.baseUrl];
  };
  assertEquals(missing({}), ["Set OWN_BASE_URL", ""]);
  assertEquals(missing({ OWN_BASE_URL: " ", OWN_API_KEY: "k" }), ["Set OWN_BASE_URL", ""]);
  assertEquals(missing({ OWN_BASE_URL: "http://127.0.0.1:1/v1/" }), [
    undefined,
    "http://127.0.0.1:1/v1",
  ]);
});

Deno.test("Transport lists models as the provider names them", async () => {
  await using vendor = startUpstream(
    () => wholeAnswer(),
    () => Response.json({ data: [{ id: "a", kind: "chat" }, { id: "b" }, null, { id: 5 }] }),
  );
  const provider = defineProvider({
    name: "own",
    settings: z.strictObject({ suffix: z.string().default("-x") }),
    listed: ({ id, kind }, { suffix }) => kind === "chat" ? `${id}${suffix}` : undefined,
  }) as Provider;
  const env = { OWN_BASE_URL: vendor.url };
  const { transport } = Transport.connect(provider, { env, file: undefined });
  assertEquals(await transport!.listModels(AbortSignal.timeout(10_000)), ["a-x"]);
  transport!.close();
});

Deno.test("Transport knows what a model is for where any account says so", async () => {
  const kinds = [undefined, "embeddings", undefined] as const;
  const provider = defineProvider({
    name: "own",
    baseUrl: "http://127.0.0.1:1",
    signIn: [],
    accounts: () => kinds.map((kind, at) => ({ name: `${at}`, settings: { kind } })),
    listModels: ({ settings }) =>
      Promise.resolve([{ id: "m", kind: (settings as { kind?: "embeddings" }).kind }]),
  }) as Provider;
  const { transport } = Transport.connect(provider, { env: {}, file: undefined });
  const offered = await transport!.offered(AbortSignal.timeout(10_000));
  assertEquals([...offered.models.values()], [{ id: "m", kind: "embeddings" }]);
  await transport!.close();
});

Deno.test("Transport closes although its provider's close never ends", async () => {
  const endless = () => new Promise<void>(() => {});
  const provider = defineProvider({ name: "own", close: endless }) as Provider;
  const { transport } = Transport.connect(provider, { env: {}, file: undefined });
  const real = globalThis.setTimeout;
  globalThis.setTimeout =
    ((run: () => void, ms?: number) =>
      real(run, ms === codeLimits.dispose ? 5 : ms)) as typeof setTimeout;
  try {
    await transport!.close();
  } finally {
    globalThis.setTimeout = real;
  }
});

Deno.test("Transport drops the slash at an address's end", () => {
  const env = { OPENAI_BASE_URL: " http://127.0.0.1:1/v1/ ", OPENAI_API_KEY: "sk-1" };
  const { transport } = Transport.connect(openai, { env, file: undefined });
  assertEquals(transport!.baseUrl, "http://127.0.0.1:1/v1");
  transport!.close();
});

Deno.test("Transport counts tokens by a free call, for none of which it waits", async () => {
  let release = Promise.withResolvers<number>();
  const asked: string[] = [];
  const provider = defineProvider({
    name: "acme",
    settings: z.strictObject({ counted: z.array(z.enum(["chat", "embeddings", "count"])) }),
    accounts: (settings) =>
      ["a", "b"].map((name) => ({
        name,
        settings: { ...settings, name },
        parallel: 1,
        counted: settings.counted,
      })),
    countTokens(_body, { settings }) {
      asked.push((settings as { name?: string }).name!);
      return release.promise;
    },
  }) as Provider;
  const env = { ACME_BASE_URL: "http://127.0.0.1:1" };
  const body = { model: "m", input: "text" };
  const { signal } = new AbortController();
  const connect = (...counted: string[]) =>
    Transport.connect(provider, { env, file: { counted } }).transport!;

  const counting = connect("chat", "count");
  const running = [counting.countTokens(body, signal), counting.countTokens(body, signal)];
  assertEquals(await counting.countTokens(body, signal), undefined);
  assertEquals(asked, ["a", "b"]);
  release.resolve(7);
  assertEquals(await Promise.all(running), [7, 7]);
  assertEquals(await counting.countTokens(body, signal), 7);

  // One that nobody waits for any more keeps no call.
  release = Promise.withResolvers();
  const gone = new AbortController();
  const left = counting.countTokens(body, gone.signal).catch((error) => error);
  gone.abort("left");
  assertEquals(await left, "left");
  release.resolve(8);
  assertEquals(await counting.countTokens(body, signal), 8);

  release = Promise.withResolvers();
  asked.length = 0;
  const free = connect("chat");
  const all = [1, 2, 3].map(() => free.countTokens(body, signal));
  assertEquals(asked, ["a", "a", "a"]);
  release.resolve(9);
  assertEquals(await Promise.all(all), [9, 9, 9]);
  await Promise.all([counting.close(), free.close()]);
});
