import { assertEquals } from "@std/assert";
import { createRedact, withoutUser } from "../../core/cli/redact.ts";
import { readConfig } from "../../core/config.ts";
import { assemble, closeProviders } from "../../core/assembly.ts";

Deno.test("createRedact takes out the secrets of program, plugins and providers", async () => {
  const file = await Deno.makeTempFile({ suffix: ".json" });
  await Deno.writeTextFile(
    file,
    JSON.stringify({ providers: { openai: { apiKey: "from-file" } } }),
  );
  const key = btoa("client:secret");
  const env = {
    XROUTER_CONFIG: file,
    DATABASE_AUTH_TOKEN: "token-12",
    GIGACHAT_CREDENTIALS: `Basic ${key}`,
  };
  const assembly = await assemble(env);
  const redact = createRedact(assembly);
  assertEquals(
    redact(`token-12, from-file, ${key}, "Basic ${key}", Basic at https://u:p@host/v1?a=b`),
    '[databaseAuthToken], [apiKey], [credentials], "[credentials]", Basic at https://host/v1?a=b',
  );
  await closeProviders(assembly.catalog);
  const config = await readConfig({ DATABASE_AUTH_TOKEN: "abcdefg" });
  assertEquals(createRedact({ ...assembly, config })("abcdefg"), "abcdefg");
  await Deno.remove(file);
});

Deno.test("createRedact takes out the secrets of lists and of accounts", async () => {
  const file = await Deno.makeTempFile({ suffix: ".json" });
  const [first, second] = [btoa("one:secret"), btoa("two:secret")];
  const accounts = [
    { name: "shop", credentials: `Basic ${first}` },
    { name: "own", user: "ivan", password: "pass word" },
  ];
  await Deno.writeTextFile(file, JSON.stringify({ providers: { gigachat: { accounts } } }));
  for (
    const [env, expected] of [
      [{ XROUTER_CONFIG: file }, `[credentials] ${second} shop ivan [password]`],
      [
        { GIGACHAT_CREDENTIALS: `${first}, ${second}` },
        "[credentials] [credentials] shop ivan pass word",
      ],
    ] as const
  ) {
    const assembly = await assemble(env);
    assertEquals(createRedact(assembly)(`${first} ${second} shop ivan pass word`), expected);
    closeProviders(assembly.catalog);
  }
  await Deno.remove(file);
});

Deno.test("withoutUser leaves an address that has no user as it is", () => {
  for (const text of ["https://host/@me", "a@b", "https://host?x=@", "file:data/x.db"]) {
    assertEquals(withoutUser(text), text);
  }
  assertEquals(withoutUser("redis://:pw@h:1 and http://u@[::1]/"), "redis://h:1 and http://[::1]/");
});
