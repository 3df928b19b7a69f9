import { assert, assertEquals, assertMatch } from "@std/assert";
import { defineProvider } from "../../core/provider.ts";
import { Transport } from "../../core/transport.ts";
import { startFakeGigachat } from "../support/fake_gigachat.ts";
import { startVendor } from "./vendor.ts";
import { inFolder, xrouter } from "./xrouter.ts";

interface Listed {
  providers: {
    name: string;
    configured: boolean;
    missing: string | null;
    baseUrl: string | null;
    models: Record<string, unknown>[];
    fault: { found: string; cure: string } | null;
    balances: unknown[];
  }[];
}

const price = { currency: "RUB", input: 10, output: 20.5 };

Deno.test("providers shows what is configured, and the models with their prices", () =>
  inFolder(async (folder) => {
    await using vendor = startVendor();
    await Deno.writeTextFile(
      `${folder}/xrouter.json`,
      JSON.stringify({
        models: { "openai/one": { price, context: 1000 }, "openai/private": { maxOutput: 7 } },
      }),
    );
    const env = {
      XROUTER_CONFIG: "xrouter.json",
      OPENAI_BASE_URL: `${vendor.origin}/v1/`,
      OPENAI_API_KEY: "sk-right",
    };
    const [text, live] = await Promise.all([
      xrouter(folder, ["providers"], env),
      xrouter(folder, ["providers", "--live", "--json"], env),
    ]);
    assertEquals([text.code, text.stderr, live.code, live.stderr], [0, "", 0, ""]);
    assert(!`${text.stdout}${live.stdout}`.includes("sk-right"), "a secret is shown");
    assertMatch(text.stdout, /^echo +yes +inside XRouter +-$/m);
    assertMatch(text.stdout, /^gigachat +no +https:\S+ +Set GIGACHAT_CREDENTIALS to/m);
    assertMatch(text.stdout, new RegExp(`^openai +yes +${vendor.origin}/v1 +-$`, "m"));
    assertMatch(text.stdout, /^openai\/one +1000 +- +10 in, 20\.5 out RUB$/m);
    assertMatch(text.stdout, /^openai\/private +- +7 +not known$/m);
    assertMatch(text.stdout, /^echo\/echo +- +- +0 in, 0 out RUB$/m);
    assert(!text.stdout.includes("openai/two"), "the vendor was asked without --live");

    const { providers } = JSON.parse(live.stdout) as Listed;
    const [echo, gigachat, openai] = ["echo", "gigachat", "openai"].map((name) =>
      providers.find((each) => each.name === name)
    );
    assertEquals([echo!.name, echo!.configured, echo!.baseUrl], ["echo", true, null]);
    assertEquals([gigachat!.configured, gigachat!.models[0]!.listed], [false, null]);
    assertEquals(openai, {
      name: "openai",
      configured: true,
      missing: null,
      baseUrl: `${vendor.origin}/v1`,
      models: [
        { id: "one", price, context: 1000, listed: true },
        { id: "private", maxOutput: 7, listed: false },
        { id: "two", listed: true },
      ],
      fault: null,
      balances: [],
    });
  }));

Deno.test("providers --live shows what each account has left, or why the vendor does not tell", () =>
  inFolder(async (folder) => {
    await using fake = await startFakeGigachat({
      balance: [{ usage: "GigaChat", value: 100_500 }],
    });
    const company = fake.addAccount({ credentials: btoa("company:CANARY") });
    const wrong = btoa("wrong:CANARY");
    const { GIGACHAT_CREDENTIALS: first, ...env } = fake.env;
    const accounts = [["shop", first], ["company", company.credentials], ["wrong", wrong]]
      .map(([name, credentials]) => ({ name, credentials }));
    await Deno.writeTextFile(
      `${folder}/xrouter.json`,
      JSON.stringify({ providers: { gigachat: { accounts } } }),
    );
    const args = ["providers", "--live"];
    const [text, json, doctor] = await Promise.all([
      xrouter(folder, args, { ...env, XROUTER_CONFIG: "xrouter.json" }),
      xrouter(folder, [...args, "--json"], fake.env),
      xrouter(folder, ["doctor"], { ...env, XROUTER_CONFIG: "xrouter.json" }),
    ]);
    assertEquals([text.code, text.stderr, json.code, json.stderr], [0, "", 0, ""]);
    assertMatch(text.stdout, /^gigachat +shop +GigaChat 100500 tokens$/m);
    assertMatch(text.stdout, /^gigachat +company +The account has no balance: it pays by use$/m);
    assertMatch(text.stdout, /^gigachat +wrong +GigaChat refuses XRouter's credentials$/m);
    assertMatch(text.stdout, /^gigachat\/GigaChat-2 .* yes /m);
    const { providers } = JSON.parse(json.stdout) as Listed;
    const gigachat = providers.find(({ name }) => name === "gigachat");
    assertEquals(gigachat!.balances, [
      { account: "1", left: [{ name: "GigaChat", left: 100_500, unit: "tokens" }], fault: null },
    ]);
    assertMatch(doctor.stdout, /^ok {4}gigachat credentials shop +\d+ models are listed/m);
    assertMatch(doctor.stdout, /^fail {2}gigachat credentials wrong .*refuses XRouter's/m);
    assertEquals(doctor.code, 1);
    const shown = [text, doctor].map(({ stdout }) => stdout).join();
    for (const secret of [first!, company.credentials, wrong]) assert(!shown.includes(secret));
  }));

Deno.test("providers --live says why a vendor lists nothing, and shows no key", () =>
  inFolder(async (folder) => {
    await using vendor = startVendor();
    const { code, stdout, stderr } = await xrouter(folder, ["providers", "--live"], {
      OPENAI_BASE_URL: `${vendor.origin}/v1`,
      OPENAI_API_KEY: "sk-CANARY",
    });
    assertEquals([code, stderr], [0, ""]);
    assertMatch(
      stdout,
      /^openai: refuses the credentials \(HTTP 401: Wrong key: Bearer \[apiKey\]\)\n {2}Set OPENAI_API_KEY/m,
    );
    assert(!stdout.includes("CANARY"), "a secret is shown");
  }));

Deno.test("a provider that signs in by a key is not configured without it", () => {
  const provider = defineProvider({ name: "acme-ai", baseUrl: "https://acme.example/v1" });
  const missing = (env: Record<string, string>) =>
    Transport.connect(provider, { env, file: undefined }).transport!.missing;
  assertEquals(missing({}), "Set ACME_AI_API_KEY");
  assertEquals(missing({ ACME_AI_API_KEY: " " }), "Set ACME_AI_API_KEY");
  assertEquals(missing({ ACME_AI_API_KEY: "sk-acme" }), undefined);
});
