import { assert, assertEquals } from "@std/assert";
import { migrationsFolder } from "../../core/program.ts";
import { AccountStore } from "../../core/ledger/accounts.ts";
import { openDatabase } from "../../core/store/database.ts";
import { checkLedger } from "../../core/ledger/ledger_check.ts";
import { migrate } from "../../core/store/migrate.ts";
import { dropIn } from "../support/drop_in.ts";
import { seededRandom } from "../support/random.ts";
import { addHold, addUsage } from "../support/usage_rows.ts";
import { arrival, withLedger } from "./ledger_place.ts";

Deno.test("checkLedger finds nothing wrong with what the database kept itself", () =>
  withLedger(async ({ client }) => {
    const { mismatches, ...sizes } = await checkLedger(client);
    assertEquals(mismatches, []);
    assertEquals(sizes, { accounts: 4, credits: 4, holds: 3, requests: 7, tries: 0 });
  }));

Deno.test("checkLedger agrees with any history of holds, charges and credits", () =>
  withLedger(async ({ client, keys }) => {
    const random = seededRandom();
    const accounts = new AccountStore(client);
    const open: string[] = [];
    for (let i = 0; i < 300; i++) {
      const at = random(3);
      const own = { key_id: keys[at]!, owner: at < 2 ? "Anna" : null };
      const step = random(5);
      if (step === 0) {
        const credited = accounts.credit(own.key_id, 1 + random(3_000), "credit");
        // A first credit must cover what is held.
        await credited.catch(unless("running requests hold"));
      } else if (step < 3) {
        const held = addHold(client, { ...own, amount: random(400) });
        await held.then((id) => open.push(`${id} ${at}`), unless("does not fit"));
      } else {
        const [id, of] = open.splice(random(open.length + 1), 1)[0]?.split(" ") ?? [];
        const whose = Number(of ?? at);
        await addUsage(client, {
          key_id: keys[whose]!,
          owner: whose < 2 ? "Anna" : null,
          created_at: arrival + random(100_000),
          cost: random(600),
          tag: `t${random(2)}`,
          ...(id !== undefined && { request_id: id }),
        });
      }
    }
    assertEquals((await checkLedger(client)).mismatches, []);
  }));

/** Takes a refusal that is right; what else fails, fails the test. */
function unless(expected: string): (error: unknown) => void {
  return (error) => {
    if (!String(error).includes(expected)) throw error;
  };
}

Deno.test("checkLedger sees one moment of a database that is written meanwhile", () =>
  withLedger(async ({ client, url, keys }) => {
    const writer = await openDatabase({ url });
    try {
      let stop = false;
      let written = 0;
      const writing = (async () => {
        for (; !stop; written++) {
          await addUsage(writer, { key_id: keys[2]!, tag: `t${written % 7}` });
          await new Promise((resolve) => setTimeout(resolve));
        }
      })();
      let seen = 0;
      while (seen < 50) {
        const { requests, mismatches } = await checkLedger(client);
        assertEquals(mismatches, []);
        seen = requests;
        await new Promise((resolve) => setTimeout(resolve));
      }
      stop = true;
      await writing;
      assert(written > 40);
    } finally {
      writer.close();
    }
  }));

Deno.test("checkLedger agrees with what was used before there was a ledger", async () => {
  const first = "0001_keys_and_usage.sql";
  await using folder = await dropIn({
    [`before/${first}`]: await Deno.readTextFile(`${migrationsFolder}/${first}`),
  });
  const client = await openDatabase({ url: `file:${folder.path}/x.db` });
  try {
    await migrate(client, `${folder.path}/before`);
    const used = (id: number, key: string | null, cost: number | null) =>
      `INSERT INTO usage (request_id, created_at, key_id, stream, estimated, cost, state, status,
        attempts, duration_ms) VALUES ('${id}', ${arrival + id}, ${key}, 0, 0, ${cost}, 'completed',
        200, 1, 1)`;
    await client.executeMultiple([
      "INSERT INTO api_keys (id, hash, name, owner, created_at) VALUES ('k', 'k', 'k', 'Anna', 0)",
      "INSERT INTO api_keys (id, hash, name, created_at) VALUES ('l', 'l', 'l', 0)",
      ...[used(1, "'k'", 30), used(2, "'k'", null), used(3, "'l'", 12), used(4, null, null)],
    ].join(";"));
    await migrate(client, migrationsFolder);
    const { mismatches, requests } = await checkLedger(client);
    assertEquals([mismatches, requests], [[], 4]);
  } finally {
    client.close();
  }
});

Deno.test("checkLedger agrees with what nobody was charged for before rows had a mark", async () => {
  const files: Record<string, string> = {};
  for await (const { name } of Deno.readDir(migrationsFolder)) {
    if (name >= "0012") continue;
    files[`before/${name}`] = await Deno.readTextFile(`${migrationsFolder}/${name}`);
  }
  await using folder = await dropIn(files);
  const client = await openDatabase({ url: `file:${folder.path}/x.db` });
  try {
    await migrate(client, `${folder.path}/before`);
    await addUsage(client, { cost: 30, charged: 0, state: "failed" });
    await addUsage(client, { cost: 30, charged: 0, state: "completed" });
    await migrate(client, migrationsFolder);
    const { mismatches } = await checkLedger(client);
    assertEquals(mismatches.map(({ expected, found }) => [expected, found]), [[30, 0]]);
  } finally {
    client.close();
  }
});

Deno.test("checkLedger changes nothing", () =>
  withLedger(async ({ client }) => {
    const { rows: [before] } = await client.execute("SELECT total_changes() AS changes");
    await checkLedger(client);
    const { rows: [after] } = await client.execute("SELECT total_changes() AS changes");
    assertEquals(after!.changes, before!.changes);
  }));
