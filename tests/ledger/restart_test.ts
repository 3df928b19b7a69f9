import { assertEquals } from "@std/assert";
import { LedgerFolder, orderOf, send } from "./ledger_folder.ts";
import { RouterProcess } from "./router_process.ts";
import { startVendorLog } from "./vendor_log.ts";

Deno.test("what a killed process left open is settled when the next one is ready, and nobody else's", async () => {
  await using vendor = startVendorLog();
  await using folder = await LedgerFolder.make(vendor);
  const key = await folder.makeKey({ credit: 1_000_000_000 });
  const env = { ...folder.env, XROUTER_LEASE_SECONDS: "86400" };
  const ask = async ({ url }: RouterProcess, id: string) =>
    await send(url, key, await orderOf(id, 100_000, 20), vendor.model, true);
  const states = async () => {
    const { rows } = await folder.database.execute(
      `SELECT tag, 'open' AS state FROM holds UNION ALL SELECT tag, state FROM usage ORDER BY tag`,
    );
    return rows.map(({ tag, state }) => `${tag}: ${state}`);
  };
  {
    await using living = await RouterProcess.start(folder.path, env);
    await using killed = await RouterProcess.start(folder.path, env);
    const [livingAnswer, killedAnswer] = [await ask(living, "living"), await ask(killed, "killed")];
    assertEquals(await states(), ["killed: open", "living: open"]);
    await killed.kill();
    await killedAnswer.body!.cancel().catch(() => {});
    await using next = await RouterProcess.start(folder.path, env);
    assertEquals(await states(), ["killed: interrupted", "living: open"]);
    assertEquals((await folder.accounts.read(key.id))!.open, 1);
    await livingAnswer.body!.cancel();
    await next.stop();
    await living.stop();
  }
  assertEquals(await states(), ["killed: interrupted", "living: aborted"]);
  await folder.check();
  const files = [...Deno.readDirSync(folder.path)].map(({ name }) => name);
  assertEquals(files.filter((name) => name.includes("-process-")), []);
});
