import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { Check } from "../../core/cli/check.ts";
import { openDatabase } from "../../core/store/database.ts";
import { startFakeGigachat } from "../support/fake_gigachat.ts";
import { startVendor } from "./vendor.ts";
import { type Ended, inFolder, xrouter } from "./xrouter.ts";

function checksOf(ended: Ended): Record<string, Check> {
  const checks = JSON.parse(ended.stdout) as Check[];
  return Object.fromEntries(checks.map((each) => [each.name, each]));
}

/** The status of each check, but for the line on vendors of which nothing is set. */
function statuses(checks: Record<string, Check>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(checks).filter(([name]) => name !== "providers")
      .map(([name, { status }]) => [name, status]),
  );
}

Deno.test("doctor finds all well, and then what went wrong with each vendor", () =>
  inFolder(async (folder) => {
    await using gigachat = await startFakeGigachat();
    await using vendor = startVendor();
    const env = {
      ...gigachat.env,
      OPENAI_BASE_URL: `${vendor.origin}/v1`,
      OPENAI_API_KEY: "sk-right",
    };
    const fresh = await xrouter(folder, ["doctor"], env);
    assertEquals([fresh.code, fresh.stderr], [0, ""], fresh.stdout);
    assertMatch(
      fresh.stdout,
      /^info {2}database +there is no file:data\/xrouter\.db yet; the next start makes it$/m,
    );
    assertEquals([...Deno.readDirSync(folder)], []);
    (await openDatabase({ url: `file:${folder}/data/xrouter.db` })).close();
    const well = await xrouter(folder, ["doctor"], env);
    assertEquals([well.code, well.stderr], [0, ""], well.stdout);
    for (
      const line of [
        /^ok {4}configuration +\d+ plugins, \d+ providers, no configuration file$/,
        /^ok {4}database +file:data\/xrouter\.db answers and can be written$/,
        /^info {2}migrations +0 are applied; the next start applies 0001_\w+\.sql/,
        /^ok {4}echo +answers inside XRouter; \d models$/,
        /^ok {4}gigachat connection +127\.0\.0\.1:\d+ answers, and its certificate is trusted$/,
        /^ok {4}gigachat credentials +\d+ models are listed for these credentials$/,
        /^ok {4}openai connection +127\.0\.0\.1:\d+ answers, without TLS$/,
        /^ok {4}openai credentials +2 models are listed for these credentials$/,
        /^ok {4}clock +within \d s of the vendors' clocks$/,
      ]
    ) assertMatch(well.stdout, new RegExp(line, "m"));

    const untrusting = { ...env, GIGACHAT_CA_BUNDLE_FILE: "" };
    const wrongKey = btoa("CANARY:CANARY");
    const [refused, untrusted] = await Promise.all([
      xrouter(folder, ["doctor", "--json"], {
        ...env,
        GIGACHAT_CREDENTIALS: wrongKey,
        OPENAI_API_KEY: "sk-CANARY",
      }),
      xrouter(folder, ["doctor", "--json"], untrusting),
    ]);
    assertEquals([refused.code, refused.stderr], [1, ""]);
    assert(
      !/CANARY/.test(refused.stdout) && !refused.stdout.includes(wrongKey),
      "a secret is shown",
    );
    const { "gigachat credentials": sber, "openai credentials": openai, ...others } = checksOf(
      refused,
    );
    assertEquals(openai, {
      name: "openai credentials",
      status: "fail",
      found: "refuses the credentials (HTTP 401: Wrong key: Bearer [apiKey])",
      cure: "Set OPENAI_API_KEY to one that the vendor accepts",
    });
    assertEquals([sber!.status, sber!.found], ["fail", "GigaChat refuses XRouter's credentials"]);
    assertMatch(sber!.cure!, /authorization key is not known.*Set GIGACHAT_CREDENTIALS/);
    assert(!Object.values(statuses(others)).includes("fail"));

    assertEquals(untrusted.code, 1);
    const seen = checksOf(untrusted);
    assertMatch(seen["gigachat connection"]!.found, /is not trusted.*UnknownIssuer/);
    assertMatch(
      seen["gigachat connection"]!.cure!,
      /into GIGACHAT_CA_BUNDLE_FILE, or into DENO_CERT/,
    );
    assertEquals(statuses(seen), {
      configuration: "ok",
      database: "ok",
      migrations: "info",
      echo: "ok",
      "gigachat connection": "fail",
      "gigachat credentials": "fail",
      "openai connection": "ok",
      "openai credentials": "ok",
      clock: "ok",
    });
  }));

Deno.test("doctor tells a closed port, a wrong clock and a broken database apart", () =>
  inFolder(async (folder) => {
    const closed = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = closed.addr;
    closed.close();
    await using late = startVendor(undefined, new Date(Date.now() - 300_000));
    await Deno.writeTextFile(`${folder}/note.txt`, "Not a database.\n".repeat(500));
    const [shut, slow] = await Promise.all([
      xrouter(folder, ["doctor", "--json"], {
        OPENAI_BASE_URL: `http://127.0.0.1:${port}/v1`,
        OPENAI_API_KEY: "sk-CANARY",
        DATABASE_URL: "file:note.txt",
      }),
      xrouter(folder, ["doctor", "--json"], {
        OPENAI_BASE_URL: `${late.origin}/v1`,
        OPENAI_API_KEY: "sk-right",
      }),
    ]);
    assertEquals([shut.code, shut.stderr], [1, ""]);
    assert(!shut.stdout.includes("CANARY"), "a secret is shown");
    const { database, clock, "openai connection": connection, providers: others, ...rest } =
      checksOf(shut);
    assertEquals(connection, {
      name: "openai connection",
      status: "fail",
      found: `127.0.0.1:${port} refuses the connection`,
      cure: `Check OPENAI_BASE_URL, which is http://127.0.0.1:${port}/v1, and that the server runs`,
    });
    assertEquals(Object.keys(statuses(rest)), ["configuration", "echo"]);
    assertEquals(others!.status, "info");
    assertMatch(others!.found, /^not configured: aitunnel, .*gigachat, .*zai$/);
    assertStringIncludes(others!.cure!, "xrouter providers");
    assertMatch(database!.found, /note\.txt", which is not a database/);
    assertMatch(database!.cure!, /^Name a libSQL file/);
    assertMatch(clock!.found, /no vendor answered to compare it with$/);

    assertEquals(slow.code, 0);
    assertMatch(checksOf(slow).clock!.found, /^30\d s ahead of the vendors' clocks$/);
    assertEquals(checksOf(slow).clock!.status, "warn");
  }));

Deno.test("doctor looks at all that it can although a plugin, a provider and a setting are wrong", () =>
  inFolder(async (folder) => {
    await using vendor = startVendor();
    await Deno.mkdir(`${folder}/mine`);
    await Deno.writeTextFile(`${folder}/mine/99_x.ts`, "export default 7;");
    const database = await openDatabase({ url: `file:${folder}/data/xrouter.db` });
    await database.execute(
      "CREATE TABLE migrations (number INTEGER, name TEXT, checksum TEXT, applied_at INTEGER)",
    );
    await database.execute("INSERT INTO migrations VALUES (9999, '9999_future.sql', 'x', 0)");
    database.close();
    const env = {
      PORT: "CANARY",
      XROUTER_PLUGINS_DIR: "mine",
      DEEPSEEK_BASE_URL: "https://api.example.com/v1?key=CANARY",
      OPENAI_BASE_URL: `${vendor.origin}/v1`,
      OPENAI_API_KEY: "sk-right",
    };
    const [broken, address] = await Promise.all([
      xrouter(folder, ["doctor"], env),
      xrouter(folder, ["doctor"], {
        PORT: "CANARY",
        DATABASE_URL: "postgres://u:CANARY@db/x",
        DATABASE_AUTH_TOKEN: "CAN ARY",
      }),
    ]);
    assertEquals([broken.code, broken.stderr], [1, ""]);
    for (
      const line of [
        /^fail {2}configuration +PORT: must be a number\. It sets: /,
        /^fail {2}configuration +\S+99_x\.ts: exports no plugin by default/,
        /^fail {2}configuration +DEEPSEEK_BASE_URL: must end with its path/,
        /^ok {4}database +file:data\/xrouter\.db answers/,
        /^fail {2}migrations .*"9999_future\.sql".*\n +→ Start the newer/,
        /^ok {4}openai credentials +2 models are listed/,
        /^ok {4}clock /,
      ]
    ) assertMatch(broken.stdout, new RegExp(line, "m"));
    assertEquals([address.code, address.stderr], [1, ""]);
    for (const variable of ["PORT", "DATABASE_URL", "DATABASE_AUTH_TOKEN"]) {
      assertMatch(address.stdout, new RegExp(`^fail {2}configuration +${variable}: `, "m"));
    }
    assert(!/^\w+ +database /m.test(address.stdout), "another database is looked at");
    assert(!/CANARY|CAN ARY/.test(broken.stdout + address.stdout), "a secret is shown");
  }));

Deno.test("doctor tells a variable that nobody reads because of a slip in its name", () =>
  inFolder(async (folder) => {
    const ended = await xrouter(folder, ["doctor", "--json"], { GIGACHAT_CREDENTAILS: "CANARY" });
    assertEquals(ended.code, 0, ended.stdout);
    assertEquals(checksOf(ended).environment, {
      status: "warn",
      name: "environment",
      found: "GIGACHAT_CREDENTAILS is set, and nobody reads it",
      cure: "Call it GIGACHAT_CREDENTIALS, if that is what it is for",
    });
    assert(!ended.stdout.includes("CANARY"));
  }));
