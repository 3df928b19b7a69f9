import { assertEquals, assertStringIncludes } from "@std/assert";
import { readSettings, withoutSecrets } from "../../core/settings.ts";
import { Transport } from "../../core/transport.ts";
import gigachat from "../../providers/gigachat/mod.ts";
import { gigachatSettings } from "../../providers/gigachat/settings.ts";
import { fixture } from "../support/mutual_tls_server.ts";

const key = btoa("client-id:client-secret");
const otherKey = btoa("other-id:other-secret");

function read(env: Record<string, string>, file: unknown = {}) {
  return readSettings(gigachatSettings, { env, file, at: 'providers["gigachat"]' });
}

Deno.test("gigachat names every way in when it has none", () => {
  const { transport } = Transport.connect(gigachat, { env: {}, file: { accounts: [] } });
  assertStringIncludes(transport?.missing ?? "", "Set GIGACHAT_CREDENTIALS");
  for (const way of ["USER", "PASSWORD", "ACCESS_TOKEN", "CERT_FILE", "KEY_FILE"]) {
    assertStringIncludes(transport?.missing ?? "", `GIGACHAT_${way}`);
  }
  assertEquals(transport?.baseUrl, "https://api.giga.chat/v1");
  transport?.close();
});

Deno.test("gigachat's settings have the documented defaults", () => {
  assertEquals(read({ GIGACHAT_CREDENTIALS: key }).value, {
    credentials: [key],
    scope: "GIGACHAT_API_PERS",
    countedCalls: ["embeddings", "count"],
    grantedFields: ["flags", "profanity_check", "reasoning_effort"],
    sessions: "on",
    authUrl: "https://ngw.devices.sberbank.ru:9443/api/v2/oauth",
    v2Models: [],
    v2ToolRole: "auto",
    v2CachedTokens: "beside",
  });
});

Deno.test("gigachat takes several keys, from either place", () => {
  const keys = [key, otherKey];
  assertEquals(
    read({ GIGACHAT_CREDENTIALS: `${key}, Basic ${otherKey},` }).value?.credentials,
    keys,
  );
  assertEquals(read({}, { credentials: keys }).value?.credentials, keys);
  const twice = read({ GIGACHAT_CREDENTIALS: `${key},${otherKey},${key}` }).problems;
  assertStringIncludes(twice[0]?.message ?? "", "key 3 of the list stands in the list twice");
  const wrong = read({ GIGACHAT_CREDENTIALS: `${key},CANARY` }).problems;
  assertStringIncludes(wrong[0]?.message ?? "", "key 2 of the list is not the base64");
  assertEquals(JSON.stringify(wrong).includes("CANARY"), false);
});

Deno.test("gigachat's lists of words take some of them, or none", () => {
  const lists = (counted: string, granted: string) => {
    const { value } = read({
      GIGACHAT_CREDENTIALS: key,
      GIGACHAT_COUNTED_CALLS: counted,
      GIGACHAT_GRANTED_FIELDS: granted,
    });
    return [value?.countedCalls, value?.grantedFields];
  };
  assertEquals(lists("count", "n, flags"), [["count"], ["n", "flags"]]);
  assertEquals(lists("none", "none"), [[], []]);
  const file = { credentials: key, countedCalls: [], grantedFields: ["n"] };
  const { value } = read({}, file);
  assertEquals([value?.countedCalls, value?.grantedFields], [[], ["n"]]);
  const [problem] = read({ GIGACHAT_CREDENTIALS: key, GIGACHAT_COUNTED_CALLS: "chat" }).problems;
  assertEquals(problem!.at, "GIGACHAT_COUNTED_CALLS");
  assertStringIncludes(problem!.message, "must be some of embeddings, count, or none");
});

const certificate = {
  GIGACHAT_CERT_FILE: fixture("test_client.pem"),
  GIGACHAT_KEY_FILE: fixture("test_client_key.pem"),
};
const locked = fixture("test_client_key_locked.pem");
const contradictions: [Record<string, string>, at: string, says: string][] = [
  [{ GIGACHAT_CREDENTIALS: key, GIGACHAT_ACCESS_TOKEN: "t" }, "ACCESS_TOKEN", "CREDENTIALS"],
  [{ GIGACHAT_CREDENTIALS: key, GIGACHAT_USER: "u", GIGACHAT_PASSWORD: "p" }, "USER", "CREDENT"],
  [
    { GIGACHAT_USER: "u", GIGACHAT_PASSWORD: "p", GIGACHAT_ACCESS_TOKEN: "t" },
    "ACCESS_TOKEN",
    "US",
  ],
  [{ GIGACHAT_USER: "u" }, "USER", "is nothing without GIGACHAT_PASSWORD"],
  [{ GIGACHAT_USER: "u:v", GIGACHAT_PASSWORD: "p" }, "USER", 'must not hold a ":"'],
  [{ GIGACHAT_PASSWORD: "p" }, "PASSWORD", "is nothing without GIGACHAT_USER"],
  [{ GIGACHAT_CERT_FILE: certificate.GIGACHAT_CERT_FILE }, "CERT_FILE", "GIGACHAT_KEY_FILE"],
  [{ GIGACHAT_KEY_FILE: certificate.GIGACHAT_KEY_FILE }, "KEY_FILE", "GIGACHAT_CERT_FILE"],
  [{ GIGACHAT_KEY_PASSWORD: "CANARY" }, "KEY_PASSWORD", "GIGACHAT_KEY_FILE"],
  [{ ...certificate, GIGACHAT_KEY_FILE: fixture("test_ca.pem") }, "KEY_FILE", "no private key"],
  [
    { ...certificate, GIGACHAT_KEY_FILE: fixture("test_server_key.pem") },
    "KEY_FILE",
    "the private key of another certificate",
  ],
  [{ ...certificate, GIGACHAT_KEY_FILE: locked }, "KEY_FILE", "a private key with a password"],
  [
    { ...certificate, GIGACHAT_KEY_FILE: locked, GIGACHAT_KEY_PASSWORD: "CANARY" },
    "KEY_FILE",
    "that the password of the key does not open",
  ],
  [{ ...certificate, GIGACHAT_CERT_FILE: "/nowhere.pem" }, "CERT_FILE", "cannot be used"],
  [{ GIGACHAT_PARALLEL: "0" }, "PARALLEL", "must be at least 1"],
  [{ GIGACHAT_SESSIONS: "yes" }, "SESSIONS", '"on"'],
];
for (const [env, at, says] of contradictions) {
  Deno.test(`gigachat refuses ${Object.keys(env).join(" and ")} at GIGACHAT_${at}: ${says}`, () => {
    const { problems } = read(env);
    assertEquals(problems.map((problem) => problem.at), [`GIGACHAT_${at}`]);
    assertStringIncludes(problems[0]!.message, says);
    assertEquals(JSON.stringify(problems).includes("CANARY"), false);
  });
}

Deno.test("gigachat takes a password of any letters and a certificate beside a key", () => {
  const password = "пароль, with blanks";
  assertEquals(read({ GIGACHAT_USER: "u", GIGACHAT_PASSWORD: password }).value?.password, password);
  assertEquals(read({ ...certificate, GIGACHAT_CREDENTIALS: key }).problems, []);
});

Deno.test("gigachat refuses accounts that contradict each other, at their fields", () => {
  const { problems } = read({}, {
    accounts: [
      { name: "a", credentials: key },
      { name: "a", credentials: `${btoa("x:y")},${otherKey}` },
      { name: "b" },
      { name: "c", credentials: otherKey, accessToken: "CANARY" },
      { name: "d", user: "u" },
    ],
  });
  assertEquals(problems.map(({ at }) => at.replace('providers["gigachat"].accounts.', "")), [
    "1.credentials",
    "1.name",
    "2",
    "3.accessToken",
    "4.user",
  ]);
  assertStringIncludes(problems[4]!.message, 'is nothing without "password"');
  const shapes = read({}, {
    accounts: [
      { name: "a b", credentials: key },
      { name: "a", credentials: "CANARY" },
      { name: "b", credentials: key, colour: "CANARY" },
      { name: "c", credentials: key, baseUrl: "http://api.giga.chat/v1" },
    ],
  }).problems;
  assertEquals(shapes.length, 4);
  assertEquals(JSON.stringify([problems, shapes]).includes("CANARY"), false);
  const beside = read({ GIGACHAT_CREDENTIALS: key }, { accounts: [{ name: "a", user: "u" }] });
  assertEquals(beside.problems.map(({ at }) => at), ["GIGACHAT_CREDENTIALS"]);
  assertStringIncludes(beside.problems[0]!.message, "sign in themselves. Remove one");
});

Deno.test("the secrets of gigachat's accounts are struck out of every text", () => {
  const accounts = [
    { name: "a", credentials: key },
    { name: "b", user: "u", password: "pass word" },
    { name: "c", accessToken: "token-78" },
  ];
  const said = `${key} pass word token-78 ${otherKey}`;
  const { value } = read({}, { accounts });
  assertEquals(
    withoutSecrets(said, gigachatSettings, value!),
    `[credentials] [password] [accessToken] ${otherKey}`,
  );
  const pool = read({ GIGACHAT_CREDENTIALS: `${key},${otherKey}` }).value!;
  const struck = "[credentials] pass word token-78 [credentials]";
  assertEquals(withoutSecrets(said, gigachatSettings, pool), struck);
});

Deno.test("gigachat takes a key that was copied together with its scheme", () => {
  assertEquals(read({ GIGACHAT_CREDENTIALS: `Basic ${key}` }).value?.credentials, [key]);
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
  const [query] = read({ GIGACHAT_AUTH_URL: "https://ngw.test/api?key=secret" }).problems;
  assertEquals([query?.at, query?.message.includes("secret")], ["GIGACHAT_AUTH_URL", false]);
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

Deno.test("gigachat refuses one key under two names, without showing it", () => {
  const credentials = btoa("id:CANARY");
  const accounts = [{ name: "a", credentials }, { name: "b", credentials }];
  const { problems } = Transport.connect(gigachat, { env: {}, file: { accounts } });
  assertEquals(problems.length, 1);
  assertStringIncludes(problems[0]!.message, `is the key of the account "a"`);
  assertEquals(JSON.stringify(problems).includes(credentials), false);
});
