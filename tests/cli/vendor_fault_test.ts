import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { explainVendorFault } from "../../core/cli/vendor_fault.ts";
import { RouterError } from "../../core/errors.ts";
import { defineProvider } from "../../core/provider.ts";
import { Transport } from "../../core/transport.ts";

function connect(baseUrl: string): Transport {
  const provider = defineProvider({ name: "acme", baseUrl });
  return Transport.connect(provider, { env: { ACME_API_KEY: "sk-acme" }, file: undefined })
    .transport!;
}

function explain(error: unknown, baseUrl = "https://acme.example/v1"): string[] {
  const { status, found, cure } = explainVendorFault(error, connect(baseUrl), (text) => text);
  return [status, found, cure];
}

const address = "Check ACME_BASE_URL, which is";

Deno.test("explainVendorFault names what broke a real connection", async () => {
  await using plain = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () => new Response("<html>"),
  );
  const fixtures = new URL("../fixtures/gigachat/", import.meta.url);
  await using tls = Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    cert: await Deno.readTextFile(new URL("test_server.pem", fixtures)),
    key: await Deno.readTextFile(new URL("test_server_key.pem", fixtures)),
    onListen() {},
  }, () => new Response());
  using silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const of = async (base: string, signal = AbortSignal.timeout(60_000)) =>
    explain(await assertRejects(() => connect(base).reach(signal)), base);

  const notTls = `https://127.0.0.1:${plain.addr.port}`;
  assertEquals(await of(notTls), [
    "fail",
    `127.0.0.1:${plain.addr.port} does not speak https (received corrupt message of type InvalidContentType)`,
    `${address} ${notTls}`,
  ]);
  assertMatch((await of(`http://127.0.0.1:${tls.addr.port}`))[1]!, /does not speak http \(/);
  const [, found, cure] = await of(`https://127.0.0.1:${tls.addr.port}`);
  assertMatch(found!, /^the certificate of 127\.0\.0\.1:\d+ is not trusted \(.*UnknownIssuer\)$/);
  assertMatch(cure!, /DENO_CERT \(not in \.env\)/);
  const quiet = await of(`http://127.0.0.1:${silent.addr.port}`, AbortSignal.timeout(20));
  assertMatch(quiet[1]!, /^no answer in time from 127\.0\.0\.1:\d+$/);
  const list = connect(`http://127.0.0.1:${plain.addr.port}`);
  const html = await assertRejects(() => list.listModels(AbortSignal.timeout(60_000)));
  assertEquals(explain(html)[1], "answers with something that is not JSON");
});

Deno.test("explainVendorFault reads the texts of failures that a test cannot cause", () => {
  const failed = (text: string) =>
    explain(
      new TypeError("fetch failed", {
        cause: new Error(
          `error sending request for url (https://acme.example/v1): client error (Connect): ${text}`,
        ),
      }),
    );
  assertEquals(
    failed("dns error: failed to lookup address information: Name or service not known"),
    [
      "fail",
      'the name "acme.example" cannot be looked up',
      `${address} https://acme.example/v1, and this machine's network and DNS`,
    ],
  );
  const otherHost =
    'invalid peer certificate: certificate not valid for name "acme.example"; certificate is only valid for DnsName("other.example")';
  assertEquals(failed(otherHost), [
    "fail",
    `the certificate of acme.example names another host (${otherHost})`,
    `${address} https://acme.example/v1`,
  ]);
  const expired =
    "invalid peer certificate: certificate expired: verification time 1795297084 (UNIX), but certificate is not valid after 1580515200 (214781884 seconds ago)";
  assertMatch(failed(expired)[1]!, /^the certificate of acme\.example is not valid now/);
  assertMatch(failed(expired)[2]!, /^Check this machine's clock/);
  for (const alert of ["CertificateRequired", "CertificateExpired", "BadCertificate"]) {
    const text = `received fatal alert: ${alert}`;
    assertEquals(failed(text)[1], `acme.example wants another client certificate (${text})`);
  }
  assertEquals(
    failed("tcp connect error: Network is unreachable (os error 101)")[1],
    "acme.example cannot be called (tcp connect error: Network is unreachable (os error 101))",
  );
});

Deno.test("explainVendorFault tells refusals by their status", () => {
  const refused = (detail: string, message = "refused") =>
    explain(new RouterError("upstream_rejected", message, { detail }));
  const expected: [detail: string, status: string, found: RegExp, cure: RegExp][] = [
    ["HTTP 401 ", "fail", /^refuses the credentials \(HTTP 401\)$/, /^Set ACME_API_KEY/],
    [
      'HTTP 403 {"message":"no"}',
      "fail",
      /^refuses the credentials \(HTTP 403: no\)$/,
      /^Set ACME_/,
    ],
    ["HTTP 402 pay", "fail", /^asks for payment \(HTTP 402: pay\)$/, /^Pay /],
    [
      "HTTP 404 <html>x</html>",
      "warn",
      /^has no list of models at .*\/v1\/models \(HTTP 404\)$/,
      /BASE/,
    ],
    ['HTTP 429 {"error":"slow"}', "warn", /^is busy \(HTTP 429: slow\)$/, /minute/],
    ["HTTP 503 a\n b", "fail", /^failed \(HTTP 503: a b\)$/, /the vendor's$/],
    ["HTTP 400 what", "fail", /^answers HTTP 400: what$/, /ACME_BASE_URL/],
  ];
  for (const [detail, status, found, cure] of expected) {
    const told = refused(detail);
    assertEquals(told[0], status, detail);
    assertMatch(told[1]!, found);
    assertMatch(told[2]!, cure);
  }
  assertEquals(refused("Do this", 'It refuses. Its operator should run "xrouter doctor"'), [
    "fail",
    "It refuses",
    "Do this",
  ]);
  assertEquals(refused(`HTTP 500 ${"x".repeat(1000)}`)[1]!.length, 301);
});
