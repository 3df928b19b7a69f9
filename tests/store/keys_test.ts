import type { Client } from "@libsql/client";
import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects } from "@std/assert";
import { fileURLToPath } from "node:url";
import { AccountStore } from "../../core/ledger/accounts.ts";
import { openDatabase } from "../../core/store/database.ts";
import { hashKey, KeyStore } from "../../core/store/keys.ts";
import { migrate } from "../../core/store/migrate.ts";
import { watchStatements } from "../support/statements.ts";
import { unlimited } from "../support/unlimited.ts";

const migrations = fileURLToPath(new URL("../../migrations", import.meta.url));

async function withKeys(
  run: (keys: KeyStore, client: Client, folder: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "xrouter keys " });
  const client = await openDatabase({ url: `file:${folder}/x.db` });
  try {
    await migrate(client, migrations);
    await run(new KeyStore(client), client, folder);
  } finally {
    client.close();
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("hashKey is SHA-256 of the UTF-8 bytes in hex", async () => {
  assertEquals(
    hashKey("abc"),
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
  );
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode("ключ 🔑"));
  assertEquals(
    hashKey("ключ 🔑"),
    [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join(""),
  );
});

Deno.test("KeyStore.create returns a key that find knows by its hash", () =>
  withKeys(async (keys) => {
    const before = Date.now();
    const expiresAt = before + 60_000;
    const { key, secret } = await keys.create({ name: "Бот «Аня» 🤖", owner: "Аня", expiresAt });
    assertMatch(secret, /^xr-[A-Za-z0-9_-]{43}$/);
    assertMatch(key.id, /^key_[0-9a-f]{16}$/);
    assert(key.createdAt >= before && key.createdAt <= Date.now());
    assertEquals(key, {
      id: key.id,
      name: "Бот «Аня» 🤖",
      owner: "Аня",
      createdAt: key.createdAt,
      expiresAt,
      active: true,
      lastUsedAt: null,
      admin: false,
      limits: unlimited,
      ownerLimits: unlimited,
    });
    assertEquals(await keys.find(hashKey(secret)), key);
    assertEquals(await keys.find(hashKey(`${secret}x`)), undefined);
    assertEquals(await keys.find(secret), undefined);

    const other = await keys.create({ name: "Бот «Аня» 🤖" });
    assertNotEquals(other.secret, secret);
    assertEquals([other.key.owner, other.key.expiresAt], [null, null]);
    assertEquals([other.key.limits, other.key.ownerLimits], [unlimited, null]);
    const admin = await keys.create({ name: "boss", admin: true });
    assertEquals([admin.key.admin, await keys.find(hashKey(admin.secret))], [true, admin.key]);
    assertEquals(
      (await keys.list()).map(({ id }) => id).sort(),
      [key.id, other.key.id, admin.key.id].sort(),
    );
  }));

Deno.test("KeyStore.find reads the limits of the key and of its owner in one query", () =>
  withKeys(async (keys, client) => {
    const accounts = new AccountStore(client);
    const { key, secret } = await keys.create({ name: "a", owner: "me" });
    await accounts.setLimits(key.id, { requestsPerMinute: 5, models: ["echo", "openai/*"] });
    await accounts.setLimits("owner:me", { tokensPerMinute: 70, holdCap: 9 });
    await accounts.credit("owner:me", 3, "paid");
    const limits = { ...unlimited, requestsPerMinute: 5, models: ["echo", "openai/*"] };
    const ownerLimits = { ...unlimited, prepaid: true, tokensPerMinute: 70, holdCap: 9 };
    const statements = watchStatements(client);
    assertEquals(await keys.find(hashKey(secret)), { ...key, limits, ownerLimits });
    assertEquals(statements.length, 1);
    const plan = await client.execute({ sql: `EXPLAIN QUERY PLAN ${statements[0]}`, args: ["h"] });
    for (const { detail } of plan.rows) assertMatch(String(detail), /^SEARCH /);

    const second = await keys.create({ name: "b", owner: "me" });
    assertEquals([second.key.limits, second.key.ownerLimits], [unlimited, ownerLimits]);
    const list = await keys.list();
    assertEquals(list.find(({ id }) => id === second.key.id), second.key);
    assertEquals((await keys.revoke("b")).ownerLimits, ownerLimits);
  }));

Deno.test("KeyStore.create leaves no trace of the secret in the database", () =>
  withKeys(async (keys, client, folder) => {
    const { secret } = await keys.create({ name: "quiet" });
    await client.execute("PRAGMA wal_checkpoint(TRUNCATE)");
    const bytes = await Deno.readFile(`${folder}/x.db`);
    const text = new TextDecoder("latin1").decode(bytes);
    assert(text.includes(hashKey(secret)));
    assert(!text.includes(secret.slice(3)));
  }));

Deno.test("KeyStore.create refuses bad fields by name and stores nothing", () =>
  withKeys(async (keys) => {
    for (const name of ["", "   ", "a\nb", "a\u0000", "a\u2028b", "\ud800", "x".repeat(101)]) {
      await assertRejects(() => keys.create({ name }), Error, "Key name must have 1 to 100");
    }
    await assertRejects(
      () => keys.create({ name: "a", owner: "" }),
      Error,
      "Key owner must have 1 to 100 printable characters",
    );
    for (const expiresAt of [Date.now() - 1, 0, NaN, Infinity, Date.now() + 1e5 + 0.5]) {
      await assertRejects(
        () => keys.create({ name: "a", expiresAt }),
        Error,
        "Key expiry must be a time in the future",
      );
    }
    assertEquals(await keys.isEmpty(), true);
    await keys.create({ name: "🔑".repeat(100) });
    assertEquals(await keys.isEmpty(), false);
  }));

Deno.test("KeyStore.revoke takes an id or a name that only one key has", () =>
  withKeys(async (keys) => {
    const one = await keys.create({ name: "one" });
    const two = await keys.create({ name: "two" });
    assertEquals(await keys.revoke("one"), { ...one.key, active: false });
    assertEquals(await keys.revoke(two.key.id), { ...two.key, active: false });
    assertEquals(await keys.revoke("one"), { ...one.key, active: false });
    assertEquals((await keys.find(hashKey(one.secret)))?.active, false);
    assertEquals(await keys.isEmpty(), false);
  }));

Deno.test("KeyStore.revoke revokes nothing when no key or several keys fit", () =>
  withKeys(async (keys, client) => {
    const first = (await keys.create({ name: "twin" })).key;
    const second = (await keys.create({ name: "twin" })).key;
    const named = (await keys.create({ name: first.id })).key;
    await client.execute({
      sql: "UPDATE api_keys SET created_at = 1 WHERE id = ?",
      args: [named.id],
    });
    await assertRejects(() => keys.revoke("nobody"), Error, 'No key has the id or name "nobody"');
    await assertRejects(() => keys.revoke("%"), Error, "No key");
    const error = await assertRejects(() => keys.revoke("twin"), Error, '2 keys are named "twin"');
    assert(String(error).includes(first.id) && String(error).includes(second.id));
    assert((await keys.list()).every(({ active }) => active));

    assertEquals((await keys.revoke(first.id)).id, first.id);
    await assertRejects(() => keys.revoke("twin"), Error, `${first.id} (revoked)`);
    const active = (await keys.list()).filter((key) => key.active).map(({ id }) => id);
    assertEquals(active.sort(), [second.id, named.id].sort());
  }));

Deno.test("KeyStore.touch never moves a time back and ignores unknown ids", () =>
  withKeys(async (keys) => {
    const a = (await keys.create({ name: "a" })).key.id;
    const b = (await keys.create({ name: "b" })).key.id;
    const lastUsed = async () =>
      Object.fromEntries((await keys.list()).map(({ name, lastUsedAt }) => [name, lastUsedAt]));
    await keys.touch(new Map());
    await keys.touch(new Map([[a, 1_800_000_000_000], ["key_nobody", 5]]));
    assertEquals(await lastUsed(), { a: 1_800_000_000_000, b: null });
    await keys.touch(new Map([[a, 1_700_000_000_000], [b, 1_700_000_000_000]]));
    assertEquals(await lastUsed(), { a: 1_800_000_000_000, b: 1_700_000_000_000 });
  }));

Deno.test("KeyStore.touch takes ten thousand keys in one statement", () =>
  withKeys(async (keys, client) => {
    await client.execute(`
      WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
      INSERT INTO api_keys (id, hash, name, created_at) SELECT 'id' || i, 'h' || i, 'n', i FROM n`);
    await keys.touch(new Map(Array.from({ length: 10_000 }, (_, i) => [`id${i + 1}`, i + 1])));
    const { rows } = await client.execute(
      "SELECT count(*) AS right FROM api_keys WHERE last_used_at = created_at",
    );
    assertEquals(rows[0]?.right, 10_000);
  }));

Deno.test("KeyStore shares one file between two clients", () =>
  withKeys(async (keys, _client, folder) => {
    const other = await openDatabase({ url: `file:${folder}/x.db` });
    const others = new KeyStore(other);
    const made = await Promise.all(
      Array.from({ length: 20 }, (_, i) => (i % 2 ? keys : others).create({ name: `k${i}` })),
    );
    for (const { key, secret } of made) {
      assertEquals(await others.find(hashKey(secret)), key);
      assertEquals(await keys.find(hashKey(secret)), key);
    }
    await others.revoke("k0");
    assertEquals((await keys.find(hashKey(made[0]!.secret)))?.active, false);
    other.close();
  }));
