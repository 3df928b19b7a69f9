/**
 * The doctor's look at the database.
 *
 * @module
 */
import type { Client } from "@libsql/client";
import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { ProgramSettings } from "../config.ts";
import { migrationsFolder } from "../program.ts";
import { localFile, openDatabase, retryWhileBusy } from "../store/database.ts";
import { migrationStatus } from "../store/migrate.ts";
import type { Check } from "./check.ts";
import { type Redact, withoutUser } from "./redact.ts";
import { within } from "./within.ts";

/**
 * Whether the database answers and can be written, and which migrations it has; of a file that does
 * not exist yet, whether it can be made. What is written for that is taken back.
 *
 * @param settings The program's settings.
 * @param redact Takes the secrets out of what a server says.
 */
export async function checkDatabase(
  { databaseUrl, databaseAuthToken }: ProgramSettings,
  redact: Redact,
): Promise<Check[]> {
  const address = withoutUser(databaseUrl).replace(/[?#].*$/s, "");
  let database: Client | undefined;
  try {
    const path = localFile(databaseUrl);
    if (path !== undefined && !existsSync(path)) {
      await tryFolder(path);
      const found = `there is no ${address} yet; the next start makes it`;
      return [{ status: "info", name: "database", found }];
    }
    database = await within(() =>
      openDatabase({
        url: databaseUrl,
        ...(databaseAuthToken !== undefined && { authToken: databaseAuthToken }),
      })
    );
    const opened = database;
    await within(() => tryWrite(opened, address));
    return [
      { status: "ok", name: "database", found: `${address} answers and can be written` },
      ...await within(() => checkMigrations(opened)),
    ];
  } catch (error) {
    const late = error instanceof DOMException && error.name === "TimeoutError";
    const text = late
      ? `${address} does not answer in time. Look whether another process keeps it locked, and whether its server is well`
      : redact(error instanceof Error ? error.message : String(error));
    return [failed("database", text)];
  } finally {
    database?.close();
  }
}

/** Writes a file where a start would make the database, or its folder, and takes it back. */
async function tryFolder(path: string): Promise<void> {
  let folder = dirname(resolve(path));
  while (!existsSync(folder)) folder = dirname(folder);
  try {
    // Permissions alone do not tell: some file systems let nobody make a file.
    await Deno.remove(await Deno.makeTempFile({ dir: folder, prefix: ".xrouter-doctor-" }));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(
      `DATABASE_URL names "${path}", which cannot be made in "${folder}": ${reason}. ` +
        "Choose a path in a folder that XRouter may write to",
    );
  }
}

/** Writes something and takes it back. */
async function tryWrite(database: Client, address: string): Promise<void> {
  try {
    await retryWhileBusy(async () => {
      const transaction = await database.transaction("write");
      try {
        await transaction.execute("CREATE TABLE doctor_was_here (id INTEGER)");
        await transaction.rollback();
      } finally {
        transaction.close();
      }
    });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(
      `${address} can be read but not written: ${reason}. Take a token, or a file, that may be written`,
    );
  }
}

async function checkMigrations(database: Client): Promise<Check[]> {
  const { applied, pending, problems } = await migrationStatus(database, migrationsFolder);
  if (problems.length > 0) return problems.map((each) => failed("migrations", each));
  return [
    pending.length === 0
      ? { status: "ok", name: "migrations", found: `all ${applied.length} are applied` }
      : {
        status: "info",
        name: "migrations",
        found: `${applied.length} are applied; the next start applies ${pending.join(", ")}`,
      },
  ];
}

/** The store's messages end with the cure as their last sentence. */
function failed(name: string, text: string): Check {
  const end = text.lastIndexOf(". ");
  return end < 0
    ? { status: "fail", name, found: text }
    : { status: "fail", name, found: text.slice(0, end), cure: text.slice(end + 2) };
}
