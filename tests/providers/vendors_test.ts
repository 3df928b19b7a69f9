import { isShipped } from "../support/shipped.ts";
import { assertEquals, assertMatch } from "@std/assert";
import { fileURLToPath } from "node:url";
import { connectProviders } from "../../core/connect.ts";
import { loadModules } from "../../core/load.ts";
import { unlessAborted } from "../../core/unless_aborted.ts";
import { LeavingClient } from "../support/leaving_client.ts";
import { ask, startRouter } from "../support/router.ts";
import { delta, ending, event, Script, startUpstream, wholeAnswer } from "../support/upstream.ts";

/** What each vendor is called by: its address, a model of it, and what keeps it from being used. */
const vendors: Record<string, { address: string; model: string; missing: string }> = {
  aitunnel: {
    address: "https://api.aitunnel.ru/v1",
    model: "gpt-5-mini",
    missing: "Set AITUNNEL_API_KEY",
  },
  deepseek: {
    address: "https://api.deepseek.com/v1",
    model: "deepseek-v4-pro",
    missing: "Set DEEPSEEK_API_KEY",
  },
  mws: {
    address: "https://api.gpt.mws.ru/v1",
    model: "mws-gpt-alpha",
    missing: "Set MWS_API_KEY",
  },
  ollama: { address: "", model: "qwen3:8b", missing: "Set OLLAMA_BASE_URL" },
  openrouter: {
    address: "https://openrouter.ai/api/v1",
    model: "openai/gpt-5-mini",
    missing: "Set OPENROUTER_API_KEY",
  },
  polza: {
    address: "https://polza.ai/api/v1",
    model: "sber/gigachat-2-max",
    missing: "Set POLZA_API_KEY",
  },
  proxyapi: {
    address: "https://api.proxyapi.ru/v1",
    model: "openai/gpt-5-mini",
    missing: "Set PROXYAPI_API_KEY",
  },
  routerai: {
    address: "https://routerai.ru/api/v1",
    model: "deepseek/deepseek-v4-flash",
    missing: "Set ROUTERAI_API_KEY",
  },
  vllm: { address: "", model: "Qwen/Qwen3-8B", missing: "Set VLLM_BASE_URL" },
  vsegpt: {
    address: "https://api.vsegpt.ru/v1",
    model: "openai/gpt-5-mini",
    missing: "Set VSEGPT_API_KEY",
  },
  zai: { address: "https://api.z.ai/api/paas/v4", model: "glm-5", missing: "Set ZAI_API_KEY" },
};

const folder = fileURLToPath(new URL("../../providers", import.meta.url));

/** The environment that leads a vendor's provider to an address. */
function envOf(name: string, url: string): Record<string, string> {
  return { [`${name.toUpperCase()}_BASE_URL`]: url, [`${name.toUpperCase()}_API_KEY`]: "key-1" };
}

Deno.test("vendors are known by their addresses, and none is configured by itself", async () => {
  const { modules } = await loadModules([folder]);
  const { transports } = connectProviders(modules, {}, {});
  const found = new Map(transports.map((transport) => [transport.name, transport]));
  for (const [name, { address, missing }] of Object.entries(vendors)) {
    const transport = found.get(name)!;
    assertEquals([transport.baseUrl, transport.missing], [address, missing]);
  }
  assertEquals(
    transports.filter((each) => each.missing === undefined).map(({ name }) => name),
    ["echo"],
  );
  for (const transport of transports) transport.close();
});

Deno.test("providers/README.md lists every provider, sorted", async () => {
  const { modules } = await loadModules([folder]);
  const readme = await Deno.readTextFile(`${folder}/README.md`);
  const table = readme.slice(0, readme.indexOf("\n## "));
  assertEquals(
    [...table.matchAll(/^\| `([a-z-]+)`/gm)].map(([, name]) => name),
    modules.filter(({ path }) => isShipped(path))
      .map(({ value }) => (value as { name: string }).name).sort(),
  );
});

for (const [name, { model }] of Object.entries(vendors)) {
  Deno.test(`${name} is asked with its key, by its own name of the model`, async () => {
    await using vendor = startUpstream(() => wholeAnswer());
    await using router = await startRouter(envOf(name, vendor.url));
    const body = { tools: [], reasoning_effort: "high", verbosity: { level: ["a"] } };
    const response = await router.chat(ask(`${name}/${model}`, "hi", body));
    assertEquals(response.status, 200);
    await response.body?.cancel();
    const { path, headers, body: sent } = vendor.seen[0]!;
    assertEquals(path, "/v1/chat/completions");
    assertEquals(headers.get("authorization"), "Bearer key-1");
    assertEquals(sent, ask(model, "hi", body));
  });
}

for (const name of ["ollama", "vllm"]) {
  Deno.test(`${name} needs an address and no key`, async () => {
    await using vendor = startUpstream(() => wholeAnswer());
    await using router = await startRouter({ [`${name.toUpperCase()}_BASE_URL`]: vendor.url });
    const response = await router.chat(ask("vendor-model"));
    await response.body?.cancel();
    assertEquals(response.status, 200);
    assertEquals(vendor.seen[0]!.headers.get("authorization"), null);
    await using bare = await startRouter({ [`${name.toUpperCase()}_API_KEY`]: "key-1" });
    const refused = await bare.chat(ask(`${name}/vendor-model`));
    assertEquals(refused.status, 404);
    assertMatch((await refused.json()).error.message, /is not configured. Set [A-Z]+_BASE_URL$/);
  });

  Deno.test(`${name} is let go of at once when the client has gone`, async () => {
    const script = new Script();
    await using vendor = startUpstream(() => script.response());
    await using router = await startRouter({
      ...envOf(name, vendor.url),
      XROUTER_DRAIN_SECONDS: "3600",
    });
    const client = new LeavingClient((init) =>
      router.chat(ask(`${name}/m`, "hi", { stream: true }), init)
    );
    await script.send(delta("Hel"));
    await client.readUntil("Hel");
    client.leave();
    await unlessAborted(vendor.seen[0]!.closed, AbortSignal.timeout(20_000));
    await script.break();
  });
}

Deno.test("an aggregator's answer is read to its end when the client has gone", async () => {
  const script = new Script();
  await using vendor = startUpstream(() => script.response());
  await using router = await startRouter(envOf("openrouter", vendor.url));
  const client = new LeavingClient((init) =>
    router.chat(ask("openrouter/openai/gpt-5-mini", "hi", { stream: true }), init)
  );
  await script.send(delta("Hel"));
  await client.readUntil("Hel");
  client.leave();
  await script.send(delta("lo."), ...ending());
  await script.close();
  const [row] = await router.usage();
  assertEquals([row!.state, row!.output_tokens, row!.estimated], ["aborted", 5, 0]);
});

for (const name of ["deepseek", "openrouter", "zai"]) {
  Deno.test(`${name}'s reasoning passes untouched, whole and streamed`, async () => {
    const thought = {
      reasoning_content: "so \u0416…",
      reasoning: "so\n",
      reasoning_details: [{ type: "reasoning.encrypted", data: "x", index: 0 }],
    };
    const message = { role: "assistant", content: "Yes.", ...thought };
    const choices = [{ index: 0, message, finish_reason: "stop" }];
    const thinking = event({ choices: [{ index: 0, delta: thought, finish_reason: null }] });
    const stream = [
      ": OPENROUTER PROCESSING\n\n",
      thinking,
      delta("Yes."),
      ...ending(),
    ];
    await using vendor = startUpstream(({ body }) =>
      body.stream
        ? new Response(stream.join(""), { headers: { "content-type": "text/event-stream" } })
        : wholeAnswer("", { choices })
    );
    await using router = await startRouter(envOf(name, vendor.url));
    const options = { stream: true, stream_options: { include_usage: true } };
    const whole = await (await router.chat(ask(`${name}/m`))).json();
    assertEquals(whole.choices, choices);
    const text = await (await router.chat(ask(`${name}/m`, "hi", options))).text();
    assertEquals(text.includes(thinking), true, text);
    assertEquals(text.endsWith("data: [DONE]\n\n"), true);
    // What was thought goes back with the history.
    const history = { model: `${name}/m`, messages: [message, { role: "user", content: "so?" }] };
    await (await router.chat(history)).body?.cancel();
    assertEquals(vendor.seen.at(-1)!.body, { ...history, model: "m" });
  });
}

Deno.test("zai that wants to be paid is not taken for busy", async () => {
  let code = "1113";
  await using vendor = startUpstream(() =>
    Response.json({ error: { code, message: "no" } }, { status: 429 })
  );
  await using router = await startRouter({ ...envOf("zai", vendor.url), XROUTER_RETRIES: "0" });
  const ofCode = async () => (await (await router.chat(ask("zai/glm-5"))).json()).error.code;
  assertEquals(await ofCode(), "insufficient_quota");
  code = "1302";
  assertEquals(await ofCode(), "upstream_busy");
});
