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
