import { assertEquals, assertMatch } from "@std/assert";
import { createClient } from "@libsql/client";
import { checkDatabase } from "../../core/cli/database_check.ts";
import { readConfig } from "../../core/config.ts";
import { serveHrana } from "../store/hrana_server.ts";
import { inFolder } from "./xrouter.ts";

Deno.test("checkDatabase writes to a server and leaves nothing behind", () =>
  inFolder(async (folder) => {
    const file = `${folder}/remote.db`;
    await using server = serveHrana(file, "s3cret");
    const look = async (token: string) => {
      const env = {
        DATABASE_URL: `http://${server.host}`,
        DATABASE_AUTH_TOKEN: token,
      };
      return await checkDatabase((await readConfig(env)).settings, (text) => text);
    };
    const [database, migrations] = await look("s3cret");
    assertEquals(database, {
      status: "ok",
      name: "database",
      found: `http://${server.host} answers and can be written`,
    });
    assertEquals(migrations!.status, "info");
    const client = createClient({ url: `file:${file}` });
    assertEquals((await client.execute("SELECT name FROM sqlite_schema")).rows.length, 0);
    client.close();
    assertEquals(await look("wrong"), [{
      status: "fail",
      name: "database",
      found: `DATABASE_URL names "http://${server.host}", which refused the auth token`,
      cure: "Take a valid token for this database",
    }]);
  }));

Deno.test("checkDatabase tells whether a start can make a file that is not there yet", () =>
  inFolder(async (folder) => {
    const look = async (path: string) => {
      const { settings } = await readConfig({ DATABASE_URL: `file:${path}` });
      return await checkDatabase(settings, (text) => text);
    };
    for (const path of [`${folder}/x.db`, `${folder}/deep/down/x.db`]) {
      const found = `there is no file:${path} yet; the next start makes it`;
      assertEquals(await look(path), [{ status: "info", name: "database", found }]);
    }
    assertEquals([...Deno.readDirSync(folder)], []);

    const file = `${folder}/file`;
    await Deno.writeTextFile(file, "");
    // Nobody can make a file in /dev/fd, whatever the folder permits.
    for (const place of [file, "/dev/fd"]) {
      for (const path of [`${place}/x.db`, `${place}/deep/down/x.db`]) {
        const [database, ...others] = await look(path);
        assertEquals(others, []);
        assertEquals(database!.status, "fail");
        const start = `DATABASE_URL names "${path}", which cannot be made in "${place}": `;
        assertEquals(database!.found.slice(0, start.length), start);
        assertEquals(database!.cure, "Choose a path in a folder that XRouter may write to");
      }
    }
  }));

Deno.test("checkDatabase notices a token that may only read", () =>
  inFolder(async (folder) => {
    await using server = serveHrana(`${folder}/remote.db`);
    await using readOnly = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      async (request) => {
        const body = await request.text();
        if (body.includes("CREATE TABLE")) return new Response("no writing", { status: 403 });
        const { pathname } = new URL(request.url);
        return await fetch(`http://${server.host}${pathname}`, { method: request.method, body });
      },
    );
    const address = `http://127.0.0.1:${readOnly.addr.port}`;
    const { settings } = await readConfig({ DATABASE_URL: address });
    const [database, ...others] = await checkDatabase(settings, (text) => text);
    assertEquals(others, []);
    assertEquals(database!.status, "fail");
    assertMatch(database!.found, /^http:\S+ can be read but not written: .*403/);
    assertEquals(database!.cure, "Take a token, or a file, that may be written");
  }));
