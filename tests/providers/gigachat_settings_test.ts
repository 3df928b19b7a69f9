import { assertEquals, assertStringIncludes } from "@std/assert";
import { readSettings } from "../../core/settings.ts";
import { Transport } from "../../core/transport.ts";
import gigachat from "../../providers/gigachat/mod.ts";
import { gigachatSettings } from "../../providers/gigachat/settings.ts";

const key = btoa("client-id:client-secret");

function read(env: Record<string, string>) {
  return readSettings(gigachatSettings, { env, file: {}, at: 'providers["gigachat"]' });
}

Deno.test("gigachat asks for its key when there is none", () => {
  const { transport } = Transport.connect(gigachat, { env: {}, file: {} });
  assertStringIncludes(transport?.missing ?? "", "Set GIGACHAT_CREDENTIALS");
  assertEquals(transport?.baseUrl, "https://api.giga.chat/v1");
  transport?.close();
});

Deno.test("gigachat's settings have the documented defaults", () => {
  assertEquals(read({ GIGACHAT_CREDENTIALS: key }).value, {
    credentials: key,
    scope: "GIGACHAT_API_PERS",
    authUrl: "https://ngw.devices.sberbank.ru:9443/api/v2/oauth",
  });
});

Deno.test("gigachat takes a key that was copied together with its scheme", () => {
  assertEquals(read({ GIGACHAT_CREDENTIALS: `Basic ${key}` }).value?.credentials, key);
});

Deno.test("gigachat refuses a key that is no base64 of id and secret, without showing it", () => {
  for (const wrong of ["0b1c7f0e-11b0-4b1f-9f5c-secret", btoa("only-a-secret"), "ключ", "a:b"]) {
    const [problem] = read({ GIGACHAT_CREDENTIALS: wrong }).problems;
    assertEquals(problem?.at, "GIGACHAT_CREDENTIALS");
    assertStringIncludes(problem?.message ?? "", 'base64 of "client id:client secret"');
    assertEquals(problem?.message.includes(wrong), false);
  }
});

Deno.test("gigachat refuses a scope and an address that do not exist", () => {
  const { problems } = read({
    GIGACHAT_SCOPE: "PERS",
    GIGACHAT_AUTH_URL: "ngw.devices.sberbank.ru",
  });
  assertEquals(problems.map(({ at }) => at).sort(), ["GIGACHAT_AUTH_URL", "GIGACHAT_SCOPE"]);
});

Deno.test("gigachat reads a bundle of certificate authorities and refuses a broken one", async () => {
  const authority = await Deno.readTextFile(
    new URL("../fixtures/gigachat/test_ca.pem", import.meta.url),
  );
  const folder = await Deno.makeTempDir();
  try {
    const bundle = async (text: string) => {
      await Deno.writeTextFile(`${folder}/ca.pem`, text);
      return read({ GIGACHAT_CA_BUNDLE_FILE: `${folder}/ca.pem` });
    };
    const two = await bundle(`# one\n${authority}\n# two\r\n${authority.replaceAll("\n", "\r\n")}`);
    assertEquals(two.value?.caBundle?.length, 2);
    for (const broken of ["", "no certificate", authority.replace("MII", "AAA")]) {
      const [problem] = (await bundle(broken)).problems;
      assertEquals(problem?.at, "GIGACHAT_CA_BUNDLE_FILE");
      assertStringIncludes(problem?.message ?? "", "cannot be used");
    }
    const [missing] = read({ GIGACHAT_CA_BUNDLE_FILE: `${folder}/none.pem` }).problems;
    assertStringIncludes(missing?.message ?? "", "cannot be used");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
