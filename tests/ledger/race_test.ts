import { LedgerFolder } from "./ledger_folder.ts";
import { limitedBy, runRace } from "./race.ts";
import { RouterProcess } from "./router_process.ts";
import { serveProgram } from "./served_program.ts";
import { startVendorLog } from "./vendor_log.ts";

Deno.test("of 200 calls at once on one process those are served that the key can pay for", async () => {
  await using vendor = startVendorLog();
  await using folder = await LedgerFolder.make(vendor);
  await using router = await serveProgram(folder.env);
  for (const limit of limitedBy) {
    for (const stream of [true, false]) {
      await runRace(folder, vendor, { urls: [router.url], calls: 200, limitedBy: limit, stream });
    }
  }
  await folder.check();
});

Deno.test("of 200 calls at once on four processes those are served that the key can pay for", async () => {
  await using vendor = startVendorLog();
  await using folder = await LedgerFolder.make(vendor);
  const routers = await Promise.all(
    [1, 2, 3, 4].map(() => RouterProcess.start(folder.path, folder.env)),
  );
  try {
    const urls = routers.map(({ url }) => url);
    for (const limit of limitedBy) {
      await runRace(folder, vendor, { urls, calls: 200, limitedBy: limit, stream: "both" });
    }
    await folder.check();
  } finally {
    await Promise.all(routers.map((router) => router.stop()));
  }
});
