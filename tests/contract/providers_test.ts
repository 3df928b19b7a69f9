/**
 * What every provider keeps to. Whatever lies in `providers/` is tested here.
 */
import { assert, assertEquals, assertInstanceOf, assertMatch } from "@std/assert";
import { fileURLToPath } from "node:url";
import { RouterError } from "../../core/errors.ts";
import { loadModules } from "../../core/load.ts";
import type { ChatBody, Provider } from "../../core/provider.ts";
import { connectProviders } from "../../core/connect.ts";
import { callOf } from "../support/call.ts";
import { readWholeStream } from "../support/event_stream.ts";
import { LeavingClient } from "../support/leaving_client.ts";
import { ask, startRouter } from "../support/router.ts";
import { type ContractVendor, startVendor } from "./vendor.ts";

const folder = fileURLToPath(new URL("../../providers", import.meta.url));
const { modules, problems } = await loadModules([folder]);

Deno.test("every file in providers/ can be loaded, and none has another's name", () => {
  assertEquals(problems, []);
  assert(modules.length > 0);
  const checked = connectProviders(modules, {}, {});
  for (const transport of checked.transports) transport.close();
  assertEquals(checked.problems, []);
});

/** A request with something of everything that OpenAI's wire has and most vendors do. */
const plain = {
  messages: [
    { role: "system", content: "Be short" },
    { role: "user", content: [{ type: "text", text: "one" }] },
    { role: "assistant", content: "two" },
    { role: "user", content: "three" },
  ],
  temperature: 0.5,
  "max_tokens": 5,
};

/** A wire to nowhere: a plain request needs no call besides its own. */
for (const { file, value } of modules) {
  const provider = value as Provider;
  const { name } = provider;
  const settings = { ...provider.settings?.safeParse({}).data as object | undefined };
  const test = (what: string, run: () => void | Promise<void>) =>
    Deno.test(`provider ${file} ${what}`, run);

  test("is called as its file or folder is", () => {
    assertEquals(name, file.split("/")[0]!.replace(/\.\w+$/, "").replaceAll("_", "-"));
  });

  test("says what to set, naming its own variables, when nothing is set", () => {
    const { transports: [transport] } = connectProviders(
      modules.filter((module) => module.value === provider),
      {},
      {},
    );
    const { missing } = transport!;
    transport!.close();
    if (missing !== undefined) {
      assertMatch(missing, new RegExp(`Set ${name.toUpperCase().replaceAll("-", "_")}_[A-Z_]+`));
    }
  });

  test("makes JSON of a plain request, and leaves the request as it was", async () => {
    const [model = "model"] = Object.keys(provider.models ?? {});
    const asked = { ...plain, model } as unknown as ChatBody;
    const body = structuredClone(asked);
    const encoded = await provider.encode?.(body, callOf({ settings })) ?? body;
    assertEquals(body, asked);
    assertEquals(typeof JSON.parse(JSON.stringify(encoded)), "object");
  });

  test("decodes nothing, the unknown and the broken without a crash", () => {
    for (
      const data of ['{"choices":[]}', "{}", "[]", "null", "5", "<html>", "", '{"choices":[null]}']
    ) {
      const decoder = provider.decoder?.(plain as ChatBody, callOf({ settings }));
      for (const decode of [() => decoder?.event(data), () => decoder?.whole(parsed(data))]) {
        try {
          decode();
        } catch (error) {
          assertInstanceOf(error, RouterError, `${data}: ${error}`);
        }
      }
    }
  });

  test("names every refusal, or leaves it to the default", () => {
    for (
      const body of ["", "{}", "null", "[]", '"no"', "<html>", '{"error":null}', '{"message":5}']
    ) {
      for (const status of [400, 401, 402, 403, 404, 413, 422, 429, 500, 503, 599]) {
        const fault = provider.fault?.(status, body, new Headers());
        if (fault !== undefined) assertInstanceOf(fault, RouterError);
      }
    }
  });

  test("answers whole and streamed, and what it reports is recorded", async () => {
    await withRouter(provider, async (router, vendor) => {
      const model = `${name}/${vendor.model}`;
      const whole = await (await router.chat(ask(model))).json();
      assertEquals(typeof whole.choices[0].message.content, "string");
      const stream = await readWholeStream(
        await router.chat(
          ask(model, "one two three", {
            stream: true,
            "stream_options": { "include_usage": true },
          }),
        ),
      );
      assert(stream.done && stream.text !== "");
      const usage = stream.events.at(-1)!.usage!;
      for (const row of await router.usage()) {
        assertEquals([row.state, row.provider, row.estimated], ["completed", name, 0]);
      }
      const streamed = (await router.usage()).find((row) => row.stream === 1)!;
      assertEquals(
        [streamed.input_tokens, streamed.output_tokens],
        [usage.prompt_tokens, usage.completion_tokens],
      );
    });
  });

  if (provider.encode === undefined && provider.fetch === undefined) {
    test("hands on the fields that nobody here knows", async () => {
      await withRouter(provider, async (router, vendor) => {
        const strange = { future: { deep: [1, null, "x"] }, seed: 5 };
        await (await router.chat(ask(`${name}/${vendor.model}`, "hi", strange))).text();
        const [{ model }] = vendor.chats as [{ model: string }];
        const named = provider.modelUri === undefined ? vendor.model : model;
        assertEquals(vendor.chats, [ask(named, "hi", strange)]);
      });
    });
  }

  if (provider.fetch === undefined) {
    test("signs in again at most once, and its 401 is not the client's", async () => {
      await withRouter(provider, async (router, vendor) => {
        vendor.behave("unauthorized");
        const response = await router.chat(ask(`${name}/${vendor.model}`));
        const { error } = await response.json();
        assertEquals([response.status, error.code], [502, "upstream_rejected"]);
        assert(vendor.chats.length <= 2, `${vendor.chats.length} calls`);
      });
    });

    test("hangs up on its vendor when the client has gone", async () => {
      await withRouter(provider, async (router, vendor) => {
        vendor.behave("silence");
        const body = ask(`${name}/${vendor.model}`, "hi", { stream: true });
        const client = new LeavingClient((init) => router.chat(body, init));
        await client.readUntil("Hel");
        client.leave();
        await vendor.left();
        assertEquals((await router.usage()).map(({ state }) => state), ["aborted"]);
      });
    });
  }
}

/** Runs with the provider's vendor; one that answers by itself has none. */
async function withRouter(
  provider: Provider,
  run: (router: Awaited<ReturnType<typeof startRouter>>, vendor: ContractVendor) => Promise<void>,
): Promise<void> {
  const local = { env: {}, model: Object.keys(provider.models ?? {})[0] };
  const vendor = provider.fetch === undefined
    ? await startVendor(provider)
    : local as ContractVendor;
  try {
    await using router = await startRouter({
      ...vendor.env,
      XROUTER_RETRIES: "0",
      // A provider that reads on for a client that has gone gives up at once.
      XROUTER_DRAIN_SECONDS: "0",
    });
    await run(router, vendor);
  } finally {
    await vendor[Symbol.asyncDispose]?.();
  }
}

function parsed(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch {
    return data;
  }
}
