import { assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import config from "../../deno.json" with { type: "json" };

const root = new URL("../../", import.meta.url);
const program = fileURLToPath(new URL("tests/support/exchange_ends.ts", root));

/** Runs the program that tells how exchanges end, under a configuration with these flags. */
async function run(unstable: readonly string[]): Promise<{ states: string[]; aborted: string[] }> {
  const folder = await Deno.makeTempDir({ prefix: "xrouter-test-" });
  try {
    const imports = Object.fromEntries(
      Object.entries(config.imports).map(([name, target]) => [
        name,
        target.startsWith("./") ? new URL(target, root).href : target,
      ]),
    );
    await Deno.writeTextFile(`${folder}/deno.json`, JSON.stringify({ imports, unstable }));
    await Deno.copyFile(new URL("deno.lock", root), `${folder}/deno.lock`);
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--config", `${folder}/deno.json`, program],
    });
    const { success, stdout, stderr } = await child.output();
    assertEquals(success, true, new TextDecoder().decode(stderr));
    return JSON.parse(new TextDecoder().decode(stdout));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const states = ["completed", "completed", "completed", "aborted", "aborted"];
const left = ["first/cancelled", "second/drained"];

Deno.test("Kernel tells success from a client that has gone, by the program's own flags", async () => {
  assertEquals(config.unstable, ["no-legacy-abort"]);
  assertEquals(await run(config.unstable), { states, aborted: left });
});

Deno.test("Kernel tells them apart where a request's signal fires on success, too", async () => {
  const told = await run([]);
  assertEquals(told.states, states);
  // This is what makes the difference: without the flag the signal fires for every request.
  assertEquals(told.aborted, ["vendor/whole", "vendor/stream", "cached", ...left]);
});
