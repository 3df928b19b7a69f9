import type { Client } from "@libsql/client";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { migrationsFolder } from "../../core/program.ts";
import { AccountStore } from "../../core/ledger/accounts.ts";
import { openDatabase } from "../../core/store/database.ts";
import { KeyStore } from "../../core/store/keys.ts";
import { migrate } from "../../core/store/migrate.ts";
import { addUsage } from "../support/usage_rows.ts";
import { inFolder, xrouter } from "./xrouter.ts";

const env = { DATABASE_URL: "file:usage.db" };

/** Two keys, of which Anna's has too little credit for what it used. */
async function fill(client: Client): Promise<string> {
  await migrate(client, migrationsFolder);
  const keys = new KeyStore(client);
  const anna = await keys.create({ name: "bot", owner: "Anna" });
  const other = await keys.create({ name: "other" });
  await new AccountStore(client).credit(anna.key.id, 1_000_000, "credit");
  const own = { key_id: anna.key.id, owner: "Anna" };
  const at = (day: string) => ({ created_at: Date.parse(day) });
  await addUsage(client, { ...own, ...at("2026-11-01"), cost: 600_000, tag: "=1+1" });
  await addUsage(client, { ...own, ...at("2026-11-02"), cost: 600_001, model: "large" });
  await addUsage(client, { key_id: other.key.id, ...at("2026-11-02"), cost: null });
  return anna.key.id;
}

async function withUsage(
  run: (show: (...args: string[]) => ReturnType<typeof xrouter>, annas: string) => Promise<void>,
): Promise<void> {
  await inFolder(async (folder) => {
    const client = await openDatabase({ url: `file:${folder}/usage.db` });
    try {
      const annas = await fill(client);
      await run((...args) => xrouter(folder, ["usage", ...args], env), annas);
    } finally {
      client.close();
    }
  });
}

const november = ["--from", "2026-11-01", "--to", "2026-11-30"];

Deno.test("usage shows totals in a table, with the loss where there is one", () =>
  withUsage(async (show, annas) => {
    const [days, models, keys, others, none] = await Promise.all([
      show(...november),
      show(...november, "--by", "owner,model", "--key", "bot"),
      show(...november, "--by", "key", "--owner", "Anna"),
      show(...november, "--by", "day", "--key", "other"),
      show("--from", "2026-10-01", "--to", "2026-10-31"),
    ]);
    for (const { code, stderr } of [days, models, keys, others]) {
      assertEquals([code, stderr], [0, ""]);
    }
    assertEquals(
      days.stdout,
      [
        "DAY         REQUESTS  FAILED  UNPRICED  INPUT  CACHED  OUTPUT  COST (RUB)  LOSS",
        "2026-11-01  1         0       0         10     0       5       0.60        0.00",
        "2026-11-02  2         0       1         20     0       10      0.600001    0.200001",
        "Total       3         0       1         30     0       15      1.200001    0.200001",
        "",
      ].join("\n"),
    );
    assertMatch(models.stdout, /^OWNER {2}MODEL {2}REQUESTS .*\nAnna {3}echo .*\nAnna {3}large /);
    assertMatch(models.stdout, /\nTotal {9}2 /);
    assert(!models.stdout.includes("UNPRICED"));
    assertStringIncludes(keys.stdout, `\nbot (${annas})  2 `);
    assert(!others.stdout.includes("LOSS"));
    assertMatch(others.stdout, /\nTotal +1 +0 +1 +10 +0 +5 +-\n$/);
    assertEquals([none.code, none.stdout], [0, ""]);
    assertEquals(none.stderr, "Nothing was used from 2026-10-01 to 2026-10-31\n");
  }));

Deno.test("usage prints JSON and CSV with the names of GET /v1/usage", () =>
  withUsage(async (show, annas) => {
    const [json, csv, empty, month] = await Promise.all([
      show(...november, "--by", "key,tag", "--key", annas, "--json"),
      show(...november, "--by", "tag", "--owner", "Anna", "--csv"),
      show("--from", "2026-10-01", "--to", "2026-10-01", "--csv"),
      show("--json"),
    ]);
    const { data, ...rest } = JSON.parse(json.stdout);
    assertEquals(rest, {
      object: "list",
      from: "2026-11-01",
      to: "2026-11-30",
      totals: {
        requests: 2,
        failed: 0,
        unpriced: 0,
        input_tokens: 20,
        output_tokens: 10,
        cached_tokens: 0,
        cost: 1.200001,
        charged: 1,
      },
      currency: "RUB",
    });
    assertEquals(
      data.map((row: Record<string, unknown>) => [row.key, row.key_name, row.tag, row.charged]),
      [[annas, "bot", null, 0.4], [annas, "bot", "=1+1", 0.6]],
    );
    const names = "requests,failed,unpriced,input_tokens,output_tokens,cached_tokens,cost,charged";
    assertEquals(
      csv.stdout,
      `tag,${names}\r\n,1,0,0,10,5,0,0.600001,0.4\r\n'=1+1,1,0,0,10,5,0,0.6,0.6\r\n`,
    );
    assertEquals(empty.stdout, `day,${names}\r\n`);
    assertEquals(JSON.parse(month.stdout).to, new Date().toISOString().slice(0, 10));
  }));

Deno.test("usage refuses what it does not understand", () =>
  withUsage(async (show) => {
    const wrong: [args: string[], code: number, message: RegExp][] = [
      [["--from", "1.11.2026"], 2, /^--from must be a day such as 2026-\S+, not "1.11.2026"\n/],
      [["--to", "2026-02-30"], 2, /^--to must be a day such as/],
      [["--from", "2026-11-02", "--to", "2026-11-01"], 2, /^--from must not be after --to, which/],
      [["--by", "month"], 2, /^--by must be one or several of day,key,\S+, not "month"\nUsage: /],
      [["--csv", "--json"], 2, /^Choose --csv or --json\n/],
      [["--key", `xr-${"x".repeat(43)}`], 2, /^This is the key itself/],
      [["--key", "nobody"], 1, /^No key has the id or name "nobody"/],
      [["--owner", "nobody"], 1, /^No key has the owner "nobody"\. List the keys/],
    ];
    const ended = await Promise.all(wrong.map(([args]) => show(...args)));
    for (const [i, { code, stdout, stderr }] of ended.entries()) {
      const [args, expected, message] = wrong[i]!;
      assertEquals([code, stdout], [expected, ""], args.join(" "));
      assertMatch(stderr, message);
    }
  }));
