/**
 * What a program says to its database.
 *
 * @module
 */
import type { Client, InStatement } from "@libsql/client";

/** Notes every statement that goes through `execute` of a client from now on. */
export function watchStatements(client: Client): string[] {
  const statements: string[] = [];
  const execute = client.execute.bind(client);
  client.execute = (statement: InStatement | string) => {
    statements.push(typeof statement === "string" ? statement : statement.sql);
    return execute(statement as InStatement);
  };
  return statements;
}
