import { assert, assertEquals, assertMatch } from "@std/assert";
import { AccountStore } from "../../core/ledger/accounts.ts";
import { openDatabase } from "../../core/store/database.ts";
import { KeyStore } from "../../core/store/keys.ts";
import { seededRandom } from "../support/random.ts";
import { hold, settle, withAccounts } from "./account_place.ts";

Deno.test("whatever happens together, balance is credits less charges, and holds are covered", () =>
  withAccounts(async ({ client, folder }) => {
    const random = seededRandom();
    const second = await openDatabase({ url: `file:${folder}/x.db` });
    const clients = [client, second];
    const stores = clients.map((each) => new AccountStore(each));
    const keys: [id: string, owner: string | null][] = [];
    for (const owner of ["me", "me", null]) {
      keys.push([
        (await new KeyStore(client).create({ name: "k", ...owner !== null && { owner } })).key.id,
        owner,
      ]);
    }
    const ids = [...keys.map(([id]) => id), "owner:me"];
    const running: [request: string, id: string, owner: string | null][] = [];
    // The others may have so much held soon that no credit is enough to begin with.
    await stores[0]!.credit(ids[0]!, 1_000, "first");
    let refused = 0;
    let credited = 0;
    const step = async () => {
      const turn = random(2);
      const [id, owner] = keys[random(keys.length)]!;
      const kind = random(6);
      if (kind === 0) {
        const amount = random(2) === 0 ? 1 + random(300) : -1 - random(200);
        await stores[turn]!.credit(ids[random(ids.length)]!, amount, "random");
        credited++;
      } else if (kind < 4) {
        running.push([await hold(clients[turn]!, id, owner, random(60)), id, owner]);
      } else if (kind === 4 && running.length > 0) {
        const [request, ...whose] = running.splice(random(running.length), 1)[0]!;
        // Less than was held, or more.
        await settle(clients[turn]!, request, ...whose, random(90));
      } else {
        await settle(clients[turn]!, crypto.randomUUID(), id, owner, random(3));
      }
    };
    for (let round = 0; round < 100; round++) {
      const steps = await Promise.allSettled(Array.from({ length: 1 + random(8) }, step));
      for (const each of steps) {
        if (each.status === "fulfilled") continue;
        assertMatch(String(each.reason), /Cannot (take|make)|the hold does not fit/);
        refused++;
      }
      const { rows } = await client.execute(`SELECT accounts.*,
        (SELECT coalesce(sum(amount), 0) FROM credits WHERE account_id = accounts.id) AS credited,
        (SELECT coalesce(sum(charged), 0) FROM usage
          WHERE accounts.id IN (key_id, 'owner:' || owner)) AS charged,
        (SELECT coalesce(sum(amount), 0) FROM holds
          WHERE accounts.id IN (key_id, 'owner:' || owner)) AS holds,
        (SELECT count(*) FROM holds WHERE accounts.id IN (key_id, 'owner:' || owner)) AS requests
        FROM accounts`);
      for (const row of rows) {
        const { balance, credited, charged, held, holds, open, requests, prepaid } = row;
        const told = `round ${round}, ${row.id}`;
        assertEquals(Number(balance), Number(credited) - Number(charged), told);
        assertEquals([held, open], [holds, requests], told);
        assert(prepaid === 0 || Number(balance) >= Number(held), told);
      }
    }
    second.close();
    assert(refused > 0, "nothing was ever refused");
    assert(credited > 0, "nothing was ever credited");
  }));
