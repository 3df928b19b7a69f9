import { raceOneProcess, raceProcesses } from "./race.ts";

Deno.test("of 200 calls at once on one process those are served that the key can pay for", async () => {
  await raceOneProcess(200);
});

Deno.test("of 200 calls at once on four processes those are served that the key can pay for", async () => {
  await raceProcesses(4, 200);
});
