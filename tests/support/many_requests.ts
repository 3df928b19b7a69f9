/**
 * Asks an XRouter inside this process many times, eight requests at a time: `many_requests.ts COUNT
 * whole|stream`. Another process runs it and looks at V8's log of garbage collections.
 *
 * @module
 */
import { Program } from "../../core/program.ts";
import { createLog } from "../../core/log.ts";
import { KeyStore } from "../../core/store/keys.ts";

const [count, mode] = Deno.args;
const folder = await Deno.makeTempDir({ prefix: "xrouter-test-" });
const env = { DATABASE_URL: `file:${folder}/xrouter.db`, API_RATE_LIMIT: "1000000" };
const program = await Program.open(env, createLog(() => {}));
const { secret } = await new KeyStore(program.database).create({ name: "many", owner: "test" });
let left = Number(count);
await Promise.all(Array.from({ length: 8 }, async () => {
  while (left-- > 0) {
    const response = await program.fetch(
      new Request("http://localhost/v1/chat/completions", {
        method: "POST",
        headers: { "content-type": "application/json", authorization: `Bearer ${secret}` },
        body: JSON.stringify({
          model: "echo",
          stream: mode === "stream",
          messages: [{ role: "user", content: `Good day, number ${left}` }],
        }),
      }),
    );
    if (response.status !== 200) throw new Error(await response.text());
    await response.text();
  }
}));
await program.close();
await Deno.remove(folder, { recursive: true });
