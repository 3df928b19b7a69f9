import { X509Certificate } from "node:crypto";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { RouterError } from "../../core/errors.ts";
import { Transport } from "../../core/transport.ts";
import { authoritiesFor, isSberHost } from "../../providers/gigachat/certificate.ts";
import gigachat from "../../providers/gigachat/mod.ts";
import { russianTrustedRoot } from "../../providers/gigachat/russian_root.ts";
import { gigachatSettings } from "../../providers/gigachat/settings.ts";
import { ConnectProxy } from "../support/connect_proxy.ts";
import { startFakeGigachat } from "../support/fake_gigachat.ts";
import { ask, connectTo } from "../support/fake_gigachat_call.ts";

const testAuthority = Deno.readTextFileSync(
  new URL("../fixtures/gigachat/test_ca.pem", import.meta.url),
);
const authUrl = "https://ngw.devices.sberbank.ru:9443/api/v2/oauth";
const baseUrl = "https://api.giga.chat/v1";

Deno.test("the built-in root is the Russian Trusted Root CA", () => {
  const certificate = new X509Certificate(russianTrustedRoot);
  assertEquals(
    certificate.fingerprint256,
    "D2:6D:2D:02:31:B7:C3:9F:92:CC:73:85:12:BA:54:10:35:19:E4:40:5D:68:B5:BD:70:3E:97:88:CA:8E:CF:31",
  );
  assert(certificate.ca);
  assert(certificate.verify(certificate.publicKey));
  assertStringIncludes(certificate.subject, "Russian Trusted Root CA");
});

Deno.test("isSberHost takes Sber's domains and nothing that looks like them", () => {
  for (
    const url of [
      authUrl,
      baseUrl,
      "https://API.GIGA.CHAT/v1",
      "https://gigachat.devices.sberbank.ru/api/v1",
      "https://gigachat-ift.sberdevices.delta.sbrf.ru/v1",
      "https://giga.chat",
    ]
  ) assert(isSberHost(url), url);
  for (
    const url of [
      "https://127.0.0.1:8443/v1",
      "https://example.com/api.giga.chat/v1",
      "https://api.giga.chat.example.com/v1",
      "https://api.giga.chat@example.com/v1",
      "https://notgiga.chat/v1",
      "https://evil-sberbank.ru/v1",
      "https://sberbank.ru.example/v1",
      "https://giga.chat%2eexample.com/v1",
      "https://gíga.chat/v1",
    ]
  ) assert(!isSberHost(url), url);
});

Deno.test("authoritiesFor adds the Russian root only where a host is Sber's", () => {
  const other = "https://proxy.example/v1";
  for (const url of [baseUrl, authUrl]) {
    assertEquals(authoritiesFor(url, {}), [russianTrustedRoot]);
    assertEquals(authoritiesFor(url, { caBundle: ["PEM"] }), [russianTrustedRoot, "PEM"]);
  }
  assertEquals(authoritiesFor(other, {}), []);
  assertEquals(authoritiesFor(other, { caBundle: ["PEM"] }), ["PEM"]);
});

Deno.test("gigachat's HTTP client trusts the root for Sber's hosts and for no other", async () => {
  await using fake = await startFakeGigachat();
  using proxy = new ConnectProxy(fake.port);
  /** Calls a host with the provider's own options, in which the test's authority plays the root. */
  const call = async (host: string) => {
    const settings = gigachatSettings.parse({ authUrl });
    const { caCerts = [] } = gigachat.httpClient!(settings, `https://${host}/v1`);
    using client = Deno.createHttpClient({
      caCerts: caCerts.map((pem) => pem === russianTrustedRoot ? testAuthority : pem),
      proxy: { url: proxy.url },
    });
    const response = await fetch(`https://${host}/v1/models`, { client });
    await response.body?.cancel();
    return response.status;
  };
  assertEquals(await call("api.giga.chat"), 401);
  assertEquals(await call("ngw.devices.sberbank.ru"), 401);
  const refused = await assertRejects(() => call("proxy.example"), TypeError);
  assertStringIncludes(String((refused as TypeError).cause), "UnknownIssuer");
  assertEquals(fake.requests.length, 2);
});

Deno.test("gigachat trusts the root for Sber's OAuth although its API is another's host", async () => {
  await using fake = await startFakeGigachat();
  using proxy = new ConnectProxy(fake.port);
  const { createHttpClient } = Deno;
  Deno.createHttpClient = ({ caCerts = [], ...rest }) =>
    createHttpClient({
      ...rest,
      caCerts: caCerts.map((pem) => pem === russianTrustedRoot ? testAuthority : pem),
      proxy: { url: proxy.url },
    });
  try {
    using connection = connectTo(fake, {
      GIGACHAT_CA_BUNDLE_FILE: "",
      GIGACHAT_AUTH_URL: authUrl,
      GIGACHAT_BASE_URL: "https://proxy.example/v1",
    });
    const error = await assertRejects(() => ask(connection), RouterError);
    assertStringIncludes(error.detail ?? "", "UnknownIssuer");
    assertEquals(fake.requests.map(({ path }) => path), ["/api/v2/oauth"]);
  } finally {
    Deno.createHttpClient = createHttpClient;
  }
});

Deno.test("gigachat refuses a host whose authority it does not know, and names the cure", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake, { GIGACHAT_CA_BUNDLE_FILE: "" });
  const error = await assertRejects(() => ask(connection), RouterError);
  assertEquals(error.code, "upstream_unavailable");
  assertStringIncludes(error.detail ?? "", "GIGACHAT_CA_BUNDLE_FILE");
  assertEquals(fake.requests.length, 0);
});

Deno.test("no setting of gigachat turns the check of certificates off", async () => {
  await using fake = await startFakeGigachat();
  using connection = connectTo(fake, {
    GIGACHAT_CA_BUNDLE_FILE: "",
    GIGACHAT_VERIFY_SSL_CERTS: "false",
    GIGACHAT_SSL_VERIFY: "0",
    NODE_TLS_REJECT_UNAUTHORIZED: "0",
  });
  await assertRejects(() => ask(connection), RouterError);
  assertEquals(fake.requests.length, 0);

  const { problems } = Transport.connect(gigachat, {
    env: fake.env,
    file: { verifySslCerts: false },
  });
  assertStringIncludes(problems[0]?.message ?? "", 'unknown setting "verifySslCerts"');
});

Deno.test("gigachat sends its secrets over TLS only", () => {
  const { problems } = Transport.connect(gigachat, {
    env: {
      GIGACHAT_BASE_URL: "http://127.0.0.1/v1",
      GIGACHAT_AUTH_URL: "http://127.0.0.1/oauth",
    },
    file: {},
  });
  assertEquals(problems.map(({ at }) => at), ["GIGACHAT_BASE_URL", "GIGACHAT_AUTH_URL"]);
  for (const { message } of problems) assertStringIncludes(message, "https://");
});
