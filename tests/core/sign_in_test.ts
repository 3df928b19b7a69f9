import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { z } from "zod";
import { defineProvider, type Provider, secret, setting, text } from "../../core/provider.ts";
import { Transport } from "../../core/transport.ts";
import { ConfigError } from "../../core/config.ts";
import { assemble, closeProviders } from "../../core/assembly.ts";
import { dropIn } from "../support/drop_in.ts";
import { modelList, startUpstream, wholeAnswer } from "../support/upstream.ts";

const settings = {
  folder: text("ACME_FOLDER", "The folder"),
  apiKey: secret("ACME_API_KEY", "The key"),
  keyId: text("ACME_KEY_ID", "The id of a key"),
  secret: secret("ACME_SECRET", "Its secret"),
  authUrl: setting("ACME_AUTH_URL", z.string().default("https://acme.invalid/token"), "The issuer"),
};
const token = { url: "{authUrl}", json: { id: "{keyId}", secret: "{secret}", type: "any" } };

/** What a provider of these members says is missing. */
function missing(members: Partial<Provider>, env: Record<string, string> = {}) {
  const provider = defineProvider({
    name: "acme",
    baseUrl: "https://acme.invalid/v1",
    settings,
    ...members as object,
  }) as Provider;
  const { transport } = Transport.connect(provider, { env, file: undefined });
  transport!.close();
  return transport!.missing;
}

Deno.test("what is missing follows from the ways to sign in, headers and ids of models", () => {
  const texts: [members: Partial<Provider>, text: string | undefined][] = [
    [{}, "Set ACME_API_KEY"],
    [{ authorize: () => ({}) }, undefined],
    [{ signIn: [] }, undefined],
    [{ signIn: ["Key {apiKey}", "Bearer {secret}"] }, "Set ACME_API_KEY or ACME_SECRET"],
    [{ signIn: ["Key {keyId}:{secret}"] }, "Set ACME_KEY_ID and ACME_SECRET"],
    [
      { signIn: ["Key {apiKey}", token] },
      "Set ACME_API_KEY, or ACME_KEY_ID and ACME_SECRET",
    ],
    [{ headers: { "x-folder": "{folder}" } }, "Set ACME_FOLDER, and ACME_API_KEY"],
    [{ modelUri: "x://{folder}/{model}/{version=1}" }, "Set ACME_FOLDER, and ACME_API_KEY"],
    [{ embeddings: { modelUri: "x://{folder}/{model}" } }, "Set ACME_FOLDER, and ACME_API_KEY"],
    [{ signIn: [], modelUri: "x://{folder}/{model}" }, "Set ACME_FOLDER"],
  ];
  for (const [members, text] of texts) {
    assertEquals(missing(members), text);
    const all = { ACME_API_KEY: "k", ACME_KEY_ID: "i", ACME_SECRET: "s", ACME_FOLDER: "f" };
    assertEquals(missing(members, all), undefined);
  }
  const either = { signIn: ["Key {apiKey}", token] };
  assertEquals(missing(either, { ACME_API_KEY: "k" }), undefined);
  assertEquals(missing(either, { ACME_KEY_ID: "i", ACME_SECRET: "s" }), undefined);
});

Deno.test("a call is signed in the first way whose settings are set", async () => {
  await using vendor = startUpstream(
    ({ body }) => Response.json({ access_token: body.secret, expires_in: 5 }),
    () => modelList("m"),
  );
  const provider = defineProvider({
    name: "acme",
    baseUrl: vendor.url,
    settings,
    headers: { "x-folder": "of {folder}" },
    signIn: ["Key {apiKey}", token],
    listModels: async (wire) => {
      const response = await wire.send("/chat/completions", { method: "POST", body: "{}" });
      await response.body?.cancel();
      return [];
    },
  }) as Provider;
  const asked = async (env: Record<string, string>) => {
    const { transport } = Transport.connect(provider, {
      env: { ACME_AUTH_URL: `${vendor.url}/token`, ACME_FOLDER: "f", ...env },
      file: undefined,
    });
    await transport!.listModels(AbortSignal.timeout(10_000));
    await transport!.close();
    const { headers } = vendor.seen.at(-1)!;
    return [headers.get("authorization"), headers.get("x-folder")];
  };
  const both = { ACME_KEY_ID: "i", ACME_SECRET: "s{keyId}" };
  assertEquals(await asked({ ...both, ACME_API_KEY: "k" }), ["Key k", "of f"]);
  assertEquals(await asked(both), ["Bearer s{keyId}", "of f"]);
  const [{ path, body, headers }] = vendor.seen.slice(-2) as [typeof vendor.seen[0]];
  assertEquals([path, body], ["/v1/token", { id: "i", secret: "s{keyId}", type: "any" }]);
  // The issuer is no part of the vendor's API.
  assertEquals([headers.get("authorization"), headers.get("x-folder")], [null, null]);
});

Deno.test("a setting that stands in a header must be one that headers can carry", () => {
  const provider = defineProvider({
    name: "acme",
    baseUrl: "https://acme.invalid/v1",
    settings,
    headers: { "x-folder": "of {folder}" },
    signIn: ["Key {keyId}:{secret}"],
  }) as Provider;
  const problems = (env: Record<string, string>, file?: object) => {
    const { transport, problems } = Transport.connect(provider, { env, file });
    transport?.close();
    return problems;
  };
  const message = "holds letters that no header can carry";
  for (const value of ["папка", "a\nb", "a\0"]) {
    assertEquals(problems({ ACME_FOLDER: value }), [{ at: "ACME_FOLDER", message }]);
    assertEquals(problems({ ACME_KEY_ID: value }), [{ at: "ACME_KEY_ID", message }]);
    assertEquals(problems({}, { folder: value }), [
      { at: 'providers["acme"].folder', message },
    ]);
  }
  assertEquals(problems({ ACME_FOLDER: "two words", ACME_AUTH_URL: "https://папка" }), []);
});

Deno.test("a wrong declaration stops the start", async () => {
  await using providers = await dropIn({
    "typo.js": 'export default { name: "typo", baseUrl: "https://x.invalid", ' +
      'signIn: ["Bearer {apikey}"] };',
    "headers.js": 'export default { name: "headers", headers: { "x y": "1", "x-y": "папка" } };',
    "brace.js": 'import { defineProvider } from "xrouter/provider"; ' +
      'export default defineProvider({ name: "brace", models: { "m{1,2": {} } });',
    "odd.js": 'export default { name: "odd", modelUri: "{model}", signIn: [5] };',
  });
  const error = await assertRejects(
    () => assemble({ XROUTER_PROVIDERS_DIR: providers.path }),
    ConfigError,
  );
  assertStringIncludes(error.message, 'typo.js: "{apikey}" stands for none of its settings');
  assertStringIncludes(error.message, '"modelUri": must be a URI that holds {model}');
  assertStringIncludes(error.message, '"signIn.0": ');
  assertStringIncludes(error.message, 'headers.js: "headers.x y": cannot be the name of a header');
  assertStringIncludes(error.message, '"headers.x-y": holds letters that no header can carry');
  assertStringIncludes(error.message, 'brace.js: "models.m{1,2": holds a brace without');
});

Deno.test("the declarations of providers/README.md make what it says of them", async () => {
  const readme = await Deno.readTextFile(new URL("../../providers/README.md", import.meta.url));
  const from = readme.indexOf("A text of `signIn`");
  await using providers = await dropIn({
    "example.ts": /```ts\n([\s\S]*?)```/.exec(readme.slice(from))![1]!,
  });
  await using vendor = startUpstream(
    () => wholeAnswer(),
    () => modelList("acme://t/small/latest", "acme://t/small/v2", "acme://u/small/v2", "tts-1"),
  );
  const env = { XROUTER_PROVIDERS_DIR: providers.path, EXAMPLE_BASE_URL: vendor.url };
  const example = async (set: object = {}) => {
    const { catalog } = await assemble({ ...env, ...set });
    return catalog;
  };
  const bare = await example();
  await closeProviders(bare);
  const said = /says "([^"]+)"/.exec(readme.slice(from))![1]!.replaceAll(/\s+/g, " ");
  assertEquals(bare.providers.get("example")!.missing, said);
  const ready = await example({ EXAMPLE_TEAM: "t", EXAMPLE_API_KEY: "k" });
  const transport = ready.providers.get("example")!;
  assertEquals(await transport.listModels(AbortSignal.timeout(10_000)), [
    "small",
    "small:v2",
    "acme://u/small/v2",
  ]);
  await closeProviders(ready);
});
