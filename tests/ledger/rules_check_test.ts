import { assertEquals } from "@std/assert";
import { checkRules } from "../../core/ledger/rules_check.ts";
import { migrations, withAccounts } from "./account_place.ts";

Deno.test("checkRules finds what is missing or was changed, and nothing else", () =>
  withAccounts(async ({ client }) => {
    assertEquals(await checkRules(client, migrations), []);
    await client.executeMultiple(`
      DROP TRIGGER usage_stays;
      DROP TRIGGER hold_must_fit;
      CREATE TRIGGER hold_must_fit AFTER INSERT ON holds BEGIN SELECT 1; END;
      CREATE TRIGGER my_own AFTER INSERT ON files BEGIN SELECT 1; END;
      CREATE TRIGGER frees AFTER INSERT ON Holds BEGIN
        DELETE FROM holds WHERE request_id = NEW.request_id;
      END;
    `);
    const wrong = { expected: 1, isAmount: false };
    assertEquals(await checkRules(client, migrations), [
      { ...wrong, subject: "trigger hold_must_fit", what: "as its migration made it", found: 0 },
      { ...wrong, subject: "trigger usage_stays", what: "there", found: null },
      {
        ...wrong,
        subject: "trigger frees",
        what: "there, on the table holds",
        expected: 0,
        found: 1,
      },
    ]);
  }));
