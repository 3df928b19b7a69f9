import type { Client } from "@libsql/client";
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { AccountStore } from "../../core/ledger/accounts.ts";
import { openDatabase } from "../../core/store/database.ts";
import { KeyStore } from "../../core/store/keys.ts";
import { migrate } from "../../core/store/migrate.ts";
import { hold, migrations, settle, withAccounts } from "./account_place.ts";
import { serveHrana } from "../store/hrana_server.ts";

const opening = "opening: what was spent before credit was needed";

async function entries(client: Client, id: string) {
  const { rows } = await client.execute({
    sql: "SELECT amount, reason FROM credits WHERE account_id = ? ORDER BY id",
    args: [id],
  });
  return rows.map(({ amount, reason }) => [amount, reason]);
}

Deno.test("AccountStore.read knows the accounts of a new key and its owner, and no others", () =>
  withAccounts(async ({ accounts, id }) => {
    const unlimited = {
      prepaid: false,
      limited: false,
      balance: 0,
      held: 0,
      open: 0,
      limit: null,
      holdCap: null,
      unsupported: null,
      exactCount: null,
      priority: null,
      requestsPerMinute: null,
      tokensPerMinute: null,
      parallel: null,
      models: null,
      periodStart: null,
      renews: null,
      used: null,
    };
    assertEquals(await accounts.read(id), { id, ...unlimited });
    assertEquals(await accounts.read("owner:me"), { id: "owner:me", ...unlimited });
    assertEquals(await accounts.read("owner:you"), undefined);
    assertEquals((await accounts.list()).map((each) => each.id), [id, "owner:me"]);
  }));

Deno.test("AccountStore.setLimits sets what is given, and null removes it", () =>
  withAccounts(async ({ accounts, client, id }) => {
    const limits = {
      limit: { amount: 100_000_000, period: "day" },
      holdCap: 2_000_000,
      unsupported: "drop",
      exactCount: false,
      priority: "high",
      requestsPerMinute: 60,
      tokensPerMinute: 1000,
      parallel: 4,
      models: ["echo", "openai/*", "vendor/a b"],
    } as const;
    const set = await accounts.setLimits(id, limits);
    assertEquals(await accounts.read(id), set);
    const { limit, holdCap, requestsPerMinute, tokensPerMinute, parallel, models } = set;
    const { unsupported, exactCount, priority } = set;
    assertEquals(
      {
        limit,
        holdCap,
        unsupported,
        exactCount,
        priority,
        requestsPerMinute,
        tokensPerMinute,
        parallel,
        models,
      },
      { ...limits, models: [...limits.models] },
    );
    assertEquals(set.used, 0);
    assertMatch(set.renews!, /^\d{4}-\d\d-\d\d$/);
    assertEquals((await accounts.read("owner:me"))!.limit, null);

    await settle(client, "r", id, "me", 5_000_000);
    const some = await accounts.setLimits(id, { parallel: null, limit: null });
    assertEquals([some.limit, some.parallel, some.renews, some.used], [null, null, null, null]);
    assertEquals([some.requestsPerMinute, some.models], [60, ["echo", "openai/*", "vendor/a b"]]);
    const month = await accounts.setLimits(id, { limit: { amount: 0, period: "month" } });
    assertEquals([month.limit, month.used], [{ amount: 0, period: "month" }, 5_000_000]);
    assertMatch(month.periodStart!, /-01$/);
    assertEquals(await accounts.setLimits(id, {}), month);
  }));

Deno.test("AccountStore.setLimits names the limit that is wrong and sets none", () =>
  withAccounts(async ({ accounts, id }) => {
    const before = await accounts.read(id);
    const wrong: [changes: object, message: string][] = [
      [{ parallel: 0 }, "Requests at a time must be a whole number of at least 1, not 0"],
      [{ requestsPerMinute: 1.5 }, "Requests a minute must be"],
      [{ tokensPerMinute: -1 }, "Tokens a minute must be"],
      [{ holdCap: 0 }, "Hold cap must be"],
      [{ holdCap: 2 ** 53 }, "Hold cap must be"],
      [{ limit: { amount: -1, period: "day" } }, "Limit must be"],
      [{ limit: { amount: NaN, period: "day" } }, "Limit must be"],
      [{ limit: { amount: 1, period: "year" } }, 'must be day, week or month, not "year"'],
      [{ models: [] }, "Models must name at least one"],
      ...["", " ", " a", "a\n", "*", "a*", "a/*/b", "/*", "a/b/*"].map((
        model,
      ): [object, string] => [
        { models: ["echo", model] },
        `Models must be "provider/model", "provider/*", a model's id or a route, not ${
          JSON.stringify(model)
        }`,
      ]),
    ];
    for (const [changes, message] of wrong) {
      const error = () => accounts.setLimits(id, { parallel: 3, requestsPerMinute: 3, ...changes });
      await assertRejects(error, Error, message);
    }
    assertEquals(await accounts.read(id), before);
    for (const changes of [{ parallel: 3 }, {}]) {
      await assertRejects(
        () => accounts.setLimits("owner:you", changes),
        Error,
        'There is no account "owner:you"',
      );
    }
  }));

Deno.test("the first credit squares what was spent before, and makes the account prepaid", () =>
  withAccounts(async ({ accounts, client, id }) => {
    await settle(client, "r", id, "me", 30_000_000);
    assertEquals((await accounts.read(id))!.balance, -30_000_000);
    assertEquals(await accounts.credit(id, 100_500_000, "paid"), 100_500_000);
    assertEquals(await entries(client, id), [[30_000_000, opening], [100_500_000, "paid"]]);
    assertEquals(await accounts.credit(id, 1, "more"), 100_500_001);
    const { prepaid, balance } = (await accounts.read(id))!;
    assertEquals([prepaid, balance], [true, 100_500_001]);
    // The owner's account is one of its own.
    const owner = (await accounts.read("owner:me"))!;
    assertEquals([owner.prepaid, owner.balance], [false, -30_000_000]);
    const other = (await new KeyStore(client).create({ name: "fresh" })).key.id;
    assertEquals(await accounts.credit(other, 7, "first"), 7);
    assertEquals(await entries(client, other), [[7, "first"]]);
  }));

Deno.test("the first credit covers what running requests hold, or nothing happens", () =>
  withAccounts(async ({ accounts, client, id }) => {
    await settle(client, "r", id, "me", 1_000_000);
    await hold(client, id, "me", 5_000_000);
    const before = await accounts.read(id);
    await assertRejects(
      () => accounts.credit(id, 4_999_999, "too little"),
      Error,
      `Cannot make "${id}" prepaid with 4.999999: running requests hold 5.00. Credit at least`,
    );
    assertEquals([await accounts.read(id), await entries(client, id)], [before, []]);
    assertEquals(await accounts.credit(id, 5_000_000, "enough"), 5_000_000);
  }));

Deno.test("a withdrawal takes what is there and not held", () =>
  withAccounts(async ({ accounts, client, id }) => {
    await assertRejects(
      () => accounts.credit(id, -1, "w"),
      Error,
      `Cannot take 0.000001 out of "${id}": it is not prepaid, nothing was ever credited to it`,
    );
    await accounts.credit(id, 50_000_000, "paid");
    await hold(client, id, null, 20_000_000);
    const error = await assertRejects(() => accounts.credit(id, -30_000_001, "w"), Error);
    assertEquals(
      (error as Error).message,
      `Cannot take 30.000001 out of "${id}": its balance is 50.00, and 20.00 is held for running ` +
        "requests. Take out at most 30.00, or wait until they are over",
    );
    assertEquals(await accounts.credit(id, -30_000_000, "w"), 20_000_000);
    assertEquals(await entries(client, id), [[50_000_000, "paid"], [-30_000_000, "w"]]);
    await client.execute("DELETE FROM holds");
    await assertRejects(() => accounts.credit(id, -20_000_001, "w"), Error, "at most 20.00");
    assertEquals(await accounts.credit(id, -20_000_000, "all"), 0);
  }));

Deno.test("AccountStore.credit refuses what it cannot count or enter", () =>
  withAccounts(async ({ accounts, client, id }) => {
    for (const amount of [0, 0.5, NaN, Infinity, 2 ** 53]) {
      await assertRejects(
        () => accounts.credit(id, amount, "x"),
        Error,
        "must be whole millionths",
      );
    }
    await assertRejects(() => accounts.credit(id, 1, " "), Error, "needs a reason");
    for (const amount of [1, -1]) {
      await assertRejects(
        () => accounts.credit("owner:you", amount, "x"),
        Error,
        'There is no account "owner:you"',
      );
    }
    const most = Number.MAX_SAFE_INTEGER;
    assertEquals(await accounts.credit(id, most, "all there is"), most);
    await assertRejects(() => accounts.credit(id, 1, "one more"), Error, "Credit at most 0.00");
    assertEquals(await accounts.credit(id, -most, "back"), 0);
    assertEquals(await accounts.credit(id, 1, "again"), 1);
    assertEquals((await entries(client, id)).length, 3);
  }));

Deno.test("of many first credits at a time one squares, and all count", () =>
  withAccounts(async ({ accounts, client, id, folder }) => {
    await settle(client, "r", id, "me", 9);
    const other = await openDatabase({ url: `file:${folder}/x.db` });
    const others = new AccountStore(other);
    await Promise.all(
      Array.from({ length: 20 }, (_, i) => (i % 2 ? accounts : others).credit(id, 5, `${i}`)),
    );
    other.close();
    assertEquals((await accounts.read(id))!.balance, 100);
    const reasons = (await entries(client, id)).map(([, reason]) => reason);
    assertEquals([reasons.filter((each) => each === opening).length, reasons.length], [1, 21]);
  }));

Deno.test("of withdrawals at a time only as many succeed as the balance bears", () =>
  withAccounts(async ({ accounts, id, folder }) => {
    await accounts.credit(id, 10, "paid");
    const other = await openDatabase({ url: `file:${folder}/x.db` });
    const others = new AccountStore(other);
    const results = await Promise.allSettled(
      Array.from({ length: 10 }, (_, i) => (i % 2 ? accounts : others).credit(id, -3, `${i}`)),
    );
    other.close();
    assertEquals(results.filter(({ status }) => status === "fulfilled").length, 3);
    assertEquals((await accounts.read(id))!.balance, 1);
  }));

Deno.test("AccountStore works on a server, and is as atomic there", () =>
  withAccounts(async ({ folder }) => {
    await using server = serveHrana(`${folder}/remote.db`);
    const client = await openDatabase({ url: `http://${server.host}` });
    await migrate(client, migrations);
    const { key: { id } } = await new KeyStore(client).create({ name: "far", owner: "me" });
    const accounts = new AccountStore(client);
    await hold(client, id, "me", 50);
    await assertRejects(() => accounts.credit(id, 49, "x"), Error, "running requests hold");
    assertEquals(await entries(client, id), []);
    assertEquals(await accounts.credit(id, 60, "x"), 60);
    await assertRejects(() => accounts.credit(id, -11, "x"), Error, "Take out at most 0.00001");
    assertEquals((await accounts.setLimits("owner:me", { parallel: 2 })).parallel, 2);
    client.close();
  }));

Deno.test("an account that had credit stays prepaid, whoever writes to it", () =>
  withAccounts(async ({ client, accounts, id }) => {
    await accounts.credit(id, 5, "credit");
    await accounts.credit(id, -5, "taken back");
    await assertRejects(
      () => client.execute("UPDATE accounts SET prepaid = 0"),
      Error,
      "an account that had credit spends only credit",
    );
    assertEquals((await accounts.read(id))!.prepaid, true);
    // What never had any stays free to change.
    await client.execute("UPDATE accounts SET prepaid = 0 WHERE id = 'owner:me'");
  }));
