import type { Client, InStatement } from "@libsql/client";
import { assert } from "@std/assert";

const moved = "(SELECT now FROM clock)";

/** Makes the rules of a database take the time from a row, so that a test can move it. */
export class MovedTime {
  readonly #client: Client;
  /** The same database for queries that name the time themselves. */
  readonly client: Client;

  private constructor(client: Client) {
    this.#client = client;
    const execute = (statement: InStatement) => {
      const { sql, args = [] } = typeof statement === "string" ? { sql: statement } : statement;
      return client.execute({ sql: sql.replaceAll("'now'", moved), args });
    };
    this.client = { execute } as Client;
  }

  /** Writes each view and trigger that reads the time anew. */
  static async install(client: Client): Promise<MovedTime> {
    const { rows } = await client.execute(
      "SELECT type, name, sql FROM sqlite_schema WHERE instr(sql, '''now''') ORDER BY type = 'trigger'",
    );
    const names = rows.map(({ name }) => name);
    for (const name of ["account_room", "usage_settles", "guess_is_taken_back"]) {
      assert(names.includes(name), `${name} does not read the time`);
    }
    await client.executeMultiple([
      "CREATE TABLE clock (now TEXT NOT NULL)",
      "INSERT INTO clock VALUES ('2000-01-01')",
      ...rows.map(({ type, name }) => `DROP ${type} ${name}`),
      ...rows.map(({ sql }) => (sql as string).replaceAll("'now'", moved)),
    ].join(";\n"));
    return new MovedTime(client);
  }

  /** @param at A moment of UTC: `2026-11-22T23:59:59.999Z`. */
  async set(at: string): Promise<void> {
    await this.#client.execute({ sql: "UPDATE clock SET now = ?", args: [at] });
  }
}
