import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { UsageError } from "../../core/cli/arguments.ts";
import { readExpiry } from "../../core/cli/keys.ts";
import { openDatabase } from "../../core/store/database.ts";
import { hashKey, KeyStore } from "../../core/store/keys.ts";
import { inFolder, xrouter } from "./xrouter.ts";

Deno.test("keys create, list and revoke work on one database", () =>
  inFolder(async (folder) => {
    const env = { DATABASE_URL: "file:keys.db" };
    const run = async (...args: string[]) => {
      const ended = await xrouter(folder, ["keys", ...args], env);
      assertEquals([ended.code, ended.stderr], [0, ""], args.join(" "));
      return ended.stdout;
    };
    const made = JSON.parse(
      await run("create", "--name", "Ключ 1", "--owner", "me", "--expires", "30d", "--json"),
    );
    assertEquals(
      Object.keys(made).join(" "),
      "id name owner createdAt expiresAt admin account secret",
    );
    assertEquals([made.name, made.owner], ["Ключ 1", "me"]);
    assertEquals(Date.parse(made.expiresAt) - Date.parse(made.createdAt) > 29.9 * 86_400_000, true);

    const text = await run("create", "--name", "second");
    const secret = /xr-[\w-]{43}/.exec(text)![0];
    assertMatch(text, /does not expire.*shown only now/);
    const listed = JSON.parse(await run("list", "--json"));
    assertEquals(listed.map(({ name }: { name: string }) => name), ["Ключ 1", "second"]);
    const { secret: _, ...key } = made;
    assertEquals(listed[0], {
      ...key,
      active: true,
      lastUsedAt: null,
      ownerAccount: made.account,
    });

    const revoked = JSON.parse(await run("revoke", "Ключ 1", "--json"));
    const { account: _account, ownerAccount: _ownerAccount, ...plain } = listed[0];
    assertEquals(revoked, { ...plain, active: false });
    const table = await run("list");
    assertMatch(table, new RegExp(`^${made.id}  Ключ 1  me +revoked  `, "m"));
    assertMatch(table, /^key_\w+ {2}second {2}- +active .* never +never +-$/m);
    assert(!table.includes("xr-"), "the table shows a secret");

    const database = await openDatabase({ url: `file:${folder}/keys.db` });
    const store = new KeyStore(database);
    assertEquals((await store.find(hashKey(made.secret)))?.active, false);
    assertEquals((await store.find(hashKey(secret)))?.active, true);
    database.close();
  }));

Deno.test("keys commands fail with 1 and one clear message", () =>
  inFolder(async (folder) => {
    const env = { DATABASE_URL: "file:keys.db" };
    const empty = await xrouter(folder, ["keys", "list"], env);
    assertEquals([empty.code, empty.stdout], [0, ""]);
    assertStringIncludes(empty.stderr, "keys create --name NAME");
    const database = await openDatabase({ url: `file:${folder}/keys.db` });
    const store = new KeyStore(database);
    for (const name of ["twin", "twin"]) await store.create({ name });
    database.close();
    const canary = `xr-${"CANARY".repeat(7)}x`;
    const [twins, unknown, label, long, past, itself, url, wrong] = await Promise.all([
      xrouter(folder, ["keys", "revoke", "twin"], env),
      xrouter(folder, ["keys", "revoke", "nobody", "--json"], env),
      xrouter(folder, ["keys", "create", "--name", "a\nb"], env),
      xrouter(folder, ["keys", "create", "--name", "a", "--owner", "b".repeat(101)], env),
      xrouter(folder, ["keys", "create", "--name", "a", "--expires", "2020-01-01"], env),
      xrouter(folder, ["keys", "revoke", canary], env),
      xrouter(folder, ["keys", "list"], { DATABASE_URL: "file:." }),
      xrouter(folder, ["keys", "list"], {
        DATABASE_URL: "postgres://u:CANARY@db/x",
        DATABASE_AUTH_TOKEN: "CANARY",
        PORT: "eighty",
      }),
    ]);
    assertEquals([twins!.code, twins!.stdout], [1, ""]);
    assertMatch(twins!.stderr, /^2 keys are named "twin"\. Write the id: key_\w+, key_\w+\n$/);
    assertEquals([unknown!.code, unknown!.stdout], [1, ""]);
    assertMatch(unknown!.stderr, /^No key has the id or name "nobody"/);
    assertEquals([label!.code, long!.code], [2, 2]);
    assertMatch(label!.stderr, /^--name must have 1 to 100 printable characters\nUsage: /);
    assertMatch(long!.stderr, /^--owner must have 1 to 100 printable characters\nUsage: /);
    assertEquals(past!.code, 2);
    assertMatch(past!.stderr, /^--expires must be in the future, not "2020-01-01"\nUsage: /);
    assertEquals(itself!.code, 2);
    assertEquals(url!.code, 1);
    assertMatch(url!.stderr, /^DATABASE_URL names "\.", .*\n$/);
    assertEquals(wrong!.code, 1);
    assertMatch(wrong!.stderr, /^ {2}PORT: must be a number/m);
    assertMatch(wrong!.stderr, /^ {2}DATABASE_URL: must begin with file:/m);
    for (const { stdout, stderr } of [itself!, url!, wrong!]) {
      assert(!`${stdout}${stderr}`.includes("CANARY"), "a secret is shown");
      assert(!stderr.includes("    at "), "a stack trace is shown");
    }
  }));

Deno.test("readExpiry takes dates and durations, and refuses what is neither or past", () => {
  const now = Date.parse("2026-11-21T12:00:00.500Z");
  const ends = (text: string) => new Date(readExpiry(text, now)).toISOString();
  assertEquals(ends("2027-01-31"), "2027-01-31T00:00:00.000Z");
  assertEquals(ends("2028-02-29"), "2028-02-29T00:00:00.000Z");
  assertEquals(ends("12h"), "2026-11-22T00:00:00.500Z");
  assertEquals(ends("30d"), "2026-12-21T12:00:00.500Z");
  assertEquals(ends("8w"), "2027-01-16T12:00:00.500Z");
  const wrong = ["soon", "30", "30m", "-1d", "1.5d", "2027-02-29", "2027-13-01", "31.01.2027"];
  for (const text of [...wrong, "2027-01-31T00:00", "9".repeat(30) + "d", "+012027-01-31"]) {
    assertThrows(() => readExpiry(text, now), UsageError, "must be a date such as");
  }
  for (const text of ["2026-11-21", "1999-01-01", "0h"]) {
    assertThrows(() => readExpiry(text, now), UsageError, "must be in the future");
  }
});
