import { assertEquals, assertMatch } from "@std/assert";
import { migrationsFolder } from "../../core/program.ts";
import { AccountStore } from "../../core/ledger/accounts.ts";
import { openDatabase } from "../../core/store/database.ts";
import { KeyStore } from "../../core/store/keys.ts";
import { migrate } from "../../core/store/migrate.ts";
import { addHold, addUsage } from "../support/usage_rows.ts";
import { inFolder, xrouter } from "./xrouter.ts";

Deno.test("ledger check proves the numbers, or shows each that is wrong and changes nothing", () =>
  inFolder(async (folder) => {
    const check = (...args: string[]) =>
      xrouter(folder, ["ledger", "check", ...args], { DATABASE_URL: "file:ledger.db" });
    const client = await openDatabase({ url: `file:${folder}/ledger.db` });
    try {
      await migrate(client, migrationsFolder);
      const { key } = await new KeyStore(client).create({ name: "a" });
      await new AccountStore(client).credit(key.id, 100_500_000, "credit");
      await addUsage(client, {
        key_id: key.id,
        cost: 500_000,
        created_at: Date.parse("2026-11-01"),
      });
      await addHold(client, { key_id: key.id });
      const [well, wellJson] = await Promise.all([check(), check("--json")]);
      assertEquals(well, {
        code: 0,
        stdout: "Everything adds up (accounts: 1, credits: 1, holds: 1, requests: 1)\n",
        stderr: "",
      });
      const sizes = { accounts: 1, credits: 1, holds: 1, requests: 1, tries: 0, currency: "RUB" };
      assertEquals(JSON.parse(wellJson.stdout), { ok: true, ...sizes, mismatches: [] });

      await client.executeMultiple(`UPDATE accounts SET balance = balance + 250000;
        UPDATE usage_daily SET requests = 4`);
      const [wrong, wrongJson] = await Promise.all([check(), check("--json")]);
      assertEquals(wrong.code, 1);
      assertEquals(wrong.stdout.split("\n").map((line) => line.split(/ {2,}/)), [
        ["WHERE", "WHAT", "EXPECTED (RUB OR NUMBER)", "FOUND"],
        [`account ${key.id}`, "balance", "100.00", "100.25"],
        [`totals of 2026-11-01, ${key.id}, echo/echo`, "requests", "1", "4"],
        [""],
      ]);
      assertMatch(wrong.stderr, /^Numbers that do not add up: 2 \(accounts: 1, /);
      assertEquals(wrongJson.code, 1);
      assertEquals(JSON.parse(wrongJson.stdout), {
        ok: false,
        ...sizes,
        mismatches: [
          { subject: `account ${key.id}`, what: "balance", expected: "100.00", found: "100.25" },
          {
            subject: `totals of 2026-11-01, ${key.id}, echo/echo`,
            what: "requests",
            expected: 1,
            found: 4,
          },
        ],
      });
      assertEquals((await check()).stdout, wrong.stdout, "something was repaired");
    } finally {
      client.close();
    }
  }));

Deno.test("ledger check adds up an empty database too", () =>
  inFolder(async (folder) => {
    const ended = await xrouter(folder, ["ledger", "check"], { DATABASE_URL: "file:new.db" });
    assertEquals(ended, {
      code: 0,
      stdout: "Everything adds up (accounts: 0, credits: 0, holds: 0, requests: 0)\n",
      stderr: "",
    });
  }));
