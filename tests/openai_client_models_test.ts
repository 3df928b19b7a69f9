import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { NotFoundError, type OpenAI, PermissionDeniedError } from "openai";
import { AccountStore } from "../core/ledger/accounts.ts";
import echo from "../providers/echo.ts";
import { clientOf, messages } from "./support/openai_client.ts";
import { startRouter, type TestRouter } from "./support/router.ts";
import { modelList, startUpstream, wholeAnswer } from "./support/upstream.ts";
import { makeKey } from "./support/usage_client.ts";

const routes = {
  fast: ["openai/small"],
  best: ["openai/big", "echo/echo"],
  lost: ["gigachat/lost"],
};
const vendorModels = ["openai/small", "openai/big", "openai/with/slash"];
const echoModels = Object.keys(echo.models!).map((model) => `echo/${model}`);

function startVendor() {
  return startUpstream(() => wholeAnswer(), () => modelList("small", "big", "with/slash"));
}

/** The client of a new key that may use some models, of an owner that may use others. */
async function clientWith(
  router: TestRouter,
  { models = null, owners, admin = false }: {
    models?: string[] | null;
    owners?: string[];
    admin?: boolean;
  },
): Promise<OpenAI> {
  const owner = owners && crypto.randomUUID();
  const { id, secret } = await makeKey(router, "narrow", { ...owner && { owner }, admin });
  const accounts = new AccountStore(router.program.database);
  await accounts.setLimits(id, { models });
  if (owners) await accounts.setLimits(`owner:${owner}`, { models: owners });
  return clientOf(router, { apiKey: secret });
}

async function listed(client: OpenAI): Promise<string[]> {
  return (await Array.fromAsync(client.models.list())).map(({ id }) => id);
}

Deno.test("the openai client lists the models that its key and its owner may use, and no others", async () => {
  await using vendor = startVendor();
  await using router = await startRouter(vendor.env, { routes });
  const all = await listed(clientOf(router));
  assertEquals(all, ["fast", "best", "lost", ...echoModels, ...vendorModels]);
  const cases: [rights: Parameters<typeof clientWith>[1], expected: string[]][] = [
    [{}, all],
    [{ models: ["echo"], admin: true }, all],
    [{ models: ["openai/*"] }, ["fast", "best", ...vendorModels]],
    [{ models: ["openai/small"] }, ["fast", "openai/small"]],
    [{ models: ["with/slash"] }, ["openai/with/slash"]],
    [{ models: ["echo"] }, ["best", "echo/echo"]],
    // A route lets its models be used by its own name only.
    [{ models: ["fast", "lost"] }, ["fast"]],
    [{ models: ["openai/not-listed"] }, []],
    [{ owners: ["echo/*"] }, ["best", ...echoModels]],
    [{ models: ["openai/*", "echo"], owners: ["fast", "echo/*"] }, ["fast", "best", "echo/echo"]],
    [{ models: ["echo"], owners: ["openai/small"] }, []],
  ];
  for (const [rights, expected] of cases) {
    assertEquals(await listed(await clientWith(router, rights)), expected, JSON.stringify(rights));
  }
});

Deno.test("the openai client retrieves and asks exactly the models that it is shown", async () => {
  await using vendor = startVendor();
  await using router = await startRouter(vendor.env, { routes });
  const all = (await listed(clientOf(router))).filter((id) => id !== "lost" && !/-/.test(id));
  for (const rights of [{ models: ["fast", "echo"] }, { owners: ["with/slash", "openai/small"] }]) {
    const client = await clientWith(router, rights);
    const shown = await listed(client);
    for (const model of all) {
      const answers = [
        client.models.retrieve(model).then(({ id }) => id),
        client.chat.completions.create({ model, messages }).then(() => model),
      ];
      for (const answer of answers) {
        if (shown.includes(model)) assertEquals(await answer, model);
        else await assertRejects(() => answer, PermissionDeniedError);
      }
    }
  }
});

Deno.test("the openai client is told why a model is not shown", async () => {
  await using router = await startRouter({}, { routes });
  const client = await clientWith(router, { models: ["echo", "gigachat/lost"] });
  const { message } = await assertRejects(
    () => client.models.retrieve("echo-slow"),
    PermissionDeniedError,
  );
  assertStringIncludes(message, 'Key "narrow" may not use the model "echo-slow". Allowed: "echo"');
  await assertRejects(() => client.models.retrieve("nothing"), NotFoundError);
  await assertRejects(() => client.models.retrieve("lost"), NotFoundError, "GIGACHAT_CREDENTIALS");
});
