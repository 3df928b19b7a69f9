import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { AccountStore } from "../../core/ledger/accounts.ts";
import { openDatabase } from "../../core/store/database.ts";
import { KeyStore } from "../../core/store/keys.ts";
import { migrate } from "../../core/store/migrate.ts";
import { migrationsFolder } from "../../core/program.ts";
import { addHold, addUsage } from "../support/usage_rows.ts";
import { inFolder, xrouter } from "./xrouter.ts";

const env = { DATABASE_URL: "file:keys.db", XROUTER_CURRENCY: "EUR" };

/** Runs a command that must go well. */
async function keys(folder: string, ...args: string[]): Promise<string> {
  const ended = await xrouter(folder, ["keys", ...args], env);
  assertEquals([ended.code, ended.stderr], [0, ""], args.join(" "));
  return ended.stdout;
}

Deno.test("keys create takes credit and every limit, and keys list shows them", () =>
  inFolder(async (folder) => {
    const made = JSON.parse(
      await keys(
        folder,
        ...["create", "--name", "full", "--owner", "me", "--credit", "100.50", "--limit", "10/day"],
        ...["--requests", "60", "--tokens", "1000", "--parallel", "2", "--hold-cap", "0.000001"],
        ...["--models", "echo, openai/*,echo", "--unsupported", "warn", "--exact-count", "yes"],
        ...["--priority", "low"],
        "--json",
      ),
    );
    const account = {
      currency: "EUR",
      prepaid: true,
      balance: "100.50",
      held: "0.00",
      running: 0,
      limit: { amount: "10.00", period: "day", used: "0.00", renews: made.account.limit.renews },
      holdCap: "0.000001",
      requestsPerMinute: 60,
      tokensPerMinute: 1000,
      parallel: 2,
      models: ["echo", "openai/*"],
      unsupported: "warn",
      exactCount: true,
      priority: "low",
    };
    assertEquals(made.account, account);
    assertMatch(account.limit.renews, /^\d{4}-\d\d-\d\d$/);
    await keys(folder, "create", "--name", "plain");
    const boss = JSON.parse(await keys(folder, "create", "--name", "boss", "--admin", "--json"));
    assertEquals([boss.admin, boss.account.prepaid], [true, false]);
    assertMatch(
      await keys(folder, "set", "owner:me", "--limit", "5.5/week", "--parallel", "9"),
      /^Limits of owner "me": 5\.50 EUR a week; 9 requests at a time\n$/,
    );

    const listed = JSON.parse(await keys(folder, "list", "--json"));
    assertEquals(listed[0].account, account);
    assertEquals([listed[0].ownerAccount.limit.amount, listed[0].ownerAccount.parallel], [
      "5.50",
      9,
    ]);
    assertEquals([listed[1].ownerAccount, listed[1].account.limit, listed[2].admin], [
      null,
      null,
      true,
    ]);
    const table = await keys(folder, "list");
    assertMatch(table, /STATE +BALANCE \(EUR\) +HELD +USED +CREATED .* LAST USED +LIMITS\n/);
    const limits =
      "10.00/day, 0.000001/request, 60 rpm, 1000 tpm, 2 parallel, models echo,openai/*, " +
      "unsupported warn, exact count yes, low priority";
    assertMatch(table, / full +me +active +100\.50 +0\.00 +0\.00 .* never +10\.00\/day, /);
    assertStringIncludes(table, ` ${limits}\n`);
    assertMatch(table, / plain +- +active +- +0\.00 +- .* never +-\n/);
    assertMatch(table, / boss +- +admin +- +0\.00 +- .* never +-\n/);
    const owners = table.split("\n\n")[1]!.split("\n").map((line) => line.split(/ {2,}/));
    assertEquals(owners, [
      ["OWNER", "BALANCE (EUR)", "HELD", "USED", "LIMITS"],
      ["me", "-", "0.00", "0.00", "5.50/week, 9 parallel"],
      [""],
    ]);
  }));

Deno.test("keys list shows an owner that has only limits without money", () =>
  inFolder(async (folder) => {
    await keys(folder, "create", "--name", "one", "--owner", "me");
    await keys(folder, "create", "--name", "two", "--owner", "you");
    await keys(folder, "set", "owner:me", "--tokens", "700");
    const table = await keys(folder, "list");
    assertMatch(table, /\n\nOWNER .*\nme +- +0\.00 +- +700 tpm\n$/);
  }));

Deno.test("keys set changes what is given and nothing else, and none removes a limit", () =>
  inFolder(async (folder) => {
    const { id } = JSON.parse(await keys(folder, "create", "--name", "one", "--json"));
    const said = await keys(
      folder,
      ...["set", "one", "--limit", "0/month", "--requests", "6", "--tokens", "70"],
      ...["--models", "echo,a/b", "--hold-cap", "2"],
    );
    assertEquals(
      said,
      `Limits of key "one" (${id}): 0.00 EUR a month; 6 requests a minute; 70 tokens a minute; ` +
        "2.00 EUR held for a request at most; models echo, a/b\n",
    );
    const fewer = JSON.parse(
      await keys(folder, "set", id, "--limit", "none", "--models=none", "--tokens", "80", "--json"),
    );
    assertEquals(
      [fewer.id, fewer.limit, fewer.models, fewer.tokensPerMinute, fewer.requestsPerMinute],
      [id, null, null, 80, 6],
    );
    const none = ["requests", "tokens", "hold-cap", "parallel"].flatMap((
      name,
    ) => [`--${name}`, "none"]);
    assertMatch(await keys(folder, "set", "one", ...none), /\): none\n$/);
  }));

Deno.test("keys credit puts in and takes out, with a reason that is kept", () =>
  inFolder(async (folder) => {
    const { id } = JSON.parse(
      await keys(folder, "create", "--name", "one", "--owner", "me", "--json"),
    );
    assertEquals(
      await keys(folder, "credit", "one", "100.5"),
      `Credited 100.50 EUR to key "one" (${id}). The balance is 100.50 EUR\n`,
    );
    assertEquals(
      await keys(folder, "credit", id, "-0.5", "--reason", "a mistake"),
      `Took 0.50 EUR out of key "one" (${id}). The balance is 100.00 EUR\n`,
    );
    const owner = JSON.parse(await keys(folder, "credit", "owner:me", "7", "--json"));
    assertEquals(owner, {
      id: "owner:me",
      currency: "EUR",
      amount: "7.00",
      reason: "credit",
      balance: "7.00",
    });
    await keys(folder, "credit", "owner:me", "-7");
    const database = await openDatabase({ url: `file:${folder}/keys.db` });
    const { rows } = await database.execute("SELECT * FROM credits ORDER BY id");
    database.close();
    assertEquals(rows.map((row) => [row.account_id, row.amount, row.reason]), [
      [id, 100_500_000, "credit"],
      [id, -500_000, "a mistake"],
      ["owner:me", 7_000_000, "credit"],
      ["owner:me", -7_000_000, "withdrawal"],
    ]);
  }));

Deno.test("keys credits lists what was put in and taken out, and what is left", () =>
  inFolder(async (folder) => {
    const { id } = JSON.parse(
      await keys(folder, "create", "--name", "one", "--owner", "me", "--json"),
    );
    const database = await openDatabase({ url: `file:${folder}/keys.db` });
    await addUsage(database, { key_id: id, owner: "me", cost: 1_500_000 });
    await keys(folder, "credit", "one", "100.5", "--reason", "invoice 7");
    await keys(folder, "credit", "one", "-0.5");
    await addUsage(database, { key_id: id, owner: "me", cost: 250_000 });
    await addHold(database, { key_id: id, owner: "me", amount: 1_000_000 });
    const opening = "opening: what was spent before credit was needed";
    const shown = JSON.parse(await keys(folder, "credits", "one", "--json"));
    const { credits, ...sums } = shown;
    assertEquals(sums, { id, currency: "EUR", charged: "1.75", balance: "99.75", held: "1.00" });
    const { rows } = await database.execute("SELECT created_at FROM credits ORDER BY id");
    database.close();
    const dates = rows.map(({ created_at }) => new Date(Number(created_at)).toISOString());
    assertEquals(credits, [
      { createdAt: dates[0], amount: "1.50", total: "1.50", reason: opening },
      { createdAt: dates[1], amount: "100.50", total: "102.00", reason: "invoice 7" },
      { createdAt: dates[2], amount: "-0.50", total: "101.50", reason: "withdrawal" },
    ]);
    const table = (await keys(folder, "credits", id)).split("\n");
    const minute = (date: string) => date.slice(0, 16).replace("T", " ");
    assertEquals(table.map((line) => line.split(/ {2,}/)), [
      ["DATE (UTC)", "AMOUNT (EUR)", "TOTAL", "REASON"],
      [minute(dates[0]!), "1.50", "1.50", opening],
      [minute(dates[1]!), "100.50", "102.00", "invoice 7"],
      [minute(dates[2]!), "-0.50", "101.50", "withdrawal"],
      [""],
      ["Charged 1.75 EUR. The balance is 99.75 EUR, 1.00 of it held"],
      [""],
    ]);
    assertEquals(JSON.parse(await keys(folder, "credits", "owner:me", "--json")), {
      id: "owner:me",
      currency: "EUR",
      charged: "1.75",
      balance: "-1.75",
      held: "1.00",
      credits: [],
    });
    const none = await xrouter(folder, ["keys", "credits", "owner:me"], env);
    assertEquals(none, {
      code: 0,
      stdout: "",
      stderr: 'Nothing was ever credited to owner "me"\n',
    });
  }));

Deno.test("keys commands refuse wrong amounts and limits, and change nothing", () =>
  inFolder(async (folder) => {
    const database = await openDatabase({ url: `file:${folder}/keys.db` });
    await migrate(database, migrationsFolder);
    const store = new KeyStore(database);
    const { key: { id } } = await store.create({ name: "one", owner: "me" });
    const accounts = new AccountStore(database);
    await accounts.credit(id, 50_000_000, "paid");
    for (const name of ["twin", "twin"]) await store.create({ name });
    await store.create({ name: "boss", admin: true });
    const gone = (await store.create({ name: "gone" })).key.id;
    await accounts.credit(gone, 10_000_000, "paid");
    await store.revoke(gone);
    const { key: late } = await store.create({ name: "late" });
    await accounts.credit(late.id, 10_000_000, "paid");
    const moment = "2026-01-31T09:30:00Z";
    await database.execute("UPDATE api_keys SET expires_at = ? WHERE id = ?", [
      Date.parse(moment),
      late.id,
    ]);
    const before = [await accounts.list(), await store.list()];
    const comma = '"1,5" has a comma\\. Write decimals after a point';
    const cases: [command: string, code: number, stderr: string][] = [
      ["credit one 1,5", 2, `^AMOUNT: ${comma}`],
      ["credit one 0", 2, "^AMOUNT must not be 0\\n"],
      ["credit one much", 2, '^AMOUNT: "much" is not an amount\\. Write one such as 100'],
      ["credit one", 2, "^AMOUNT is missing\\n"],
      ["credit one -50.01", 1, "its balance is 50\\.00, .* Take out at most 50\\.00\\n$"],
      ["credit owner:me -1", 1, '^Cannot take 1\\.00 out of "owner:me": it is not prepaid'],
      [
        "credit boss 5",
        1,
        '^Cannot credit key "boss" .*: an admin key calls no model\\. Credit anot',
      ],
      ["credit gone 5", 1, '^Cannot credit key "gone" .*: it is revoked\\. Make another key with'],
      [
        "credit late 5",
        1,
        '^Cannot credit key "late" .*: it expired at 2026-01-31 09:30 UTC\\. Make',
      ],
      ["credit owner:you 5", 1, '^No key has the owner "you"\\. List the keys'],
      ["credit twin 5", 1, '^2 keys are named "twin"\\. Write the id: key_'],
      ["credits nobody", 1, '^No key has the id or name "nobody"'],
      ["credits owner:you", 1, '^No key has the owner "you"'],
      [`credits xr-${"CANARY".repeat(7)}x`, 2, "^This is the key itself"],
      ["set nobody --parallel 1", 1, '^No key has the id or name "nobody"'],
      ["set one", 2, "^Give at least one limit to set\\n"],
      ["set one --limit 5", 2, "^--limit must be such as 100/day, 500/week or 2000/month, not"],
      ["set one --limit 5/days", 2, "^--limit must be such as"],
      ["set one --limit -5/day", 2, '^--limit must not be below 0, as in "-5/day"'],
      ["set one --limit 1,5/day", 2, `^--limit: ${comma}`],
      ["set one --requests 0", 2, '^--requests must be a whole number above 0, or none, not "0"'],
      ["set one --tokens 1e3", 2, "^--tokens must be a whole number"],
      ["set one --parallel -1", 2, "^--parallel must be a whole number"],
      ["set one --hold-cap 0", 2, '^--hold-cap must be above 0, not "0"'],
      ["set one --models a,,b", 2, '^--models must be provider/model, .* not ""'],
      ["create --name x --models a*", 2, '^--models must be provider/model, .* not "a\\*"'],
      ["create --name x --credit -5", 2, "^--credit must be above 0\\n"],
      ["create --name x --admin --credit 5", 2, "^An admin key calls no model"],
      ["create --name x --admin --parallel 5", 2, "^An admin key calls no model"],
      [`credit xr-${"CANARY".repeat(7)}x 5`, 2, "^This is the key itself"],
    ];
    await Promise.all(cases.map(async ([command, code, stderr]) => {
      const ended = await xrouter(folder, ["keys", ...command.split(" ")], env);
      assertEquals([ended.code, ended.stdout], [code, ""], command);
      assertMatch(ended.stderr, new RegExp(stderr));
      assertEquals(ended.stderr.includes("CANARY"), false);
    }));
    assertEquals([await accounts.list(), await store.list()], before);
    // What is left of a key that is over can be taken out of it.
    assertMatch(await keys(folder, "credit", "gone", "-10"), /^Took 10\.00 EUR out of key "gone"/);
    assertMatch(await keys(folder, "credit", "late", "-10"), /^Took 10\.00 EUR out of key "late"/);
    database.close();
  }));
