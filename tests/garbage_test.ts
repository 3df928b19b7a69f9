/** What requests leave behind, in bytes: it holds on any machine, however busy. */
import { assertLess } from "@std/assert";

/** A line of V8's log, as far as it matters here; a scavenge collects the young garbage alone. */
interface Collection {
  readonly gc: string;
  /** Bytes that became old. */
  readonly promoted: number;
}

/** The room of young objects, in MiB: what a machine or a caller says of it must not count. */
const semiSpace = "--min-semi-space-size=8,--max-semi-space-size=8";

async function collections(requests: number, mode: string): Promise<Collection[]> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-A", "--no-check", `--v8-flags=--trace-gc-nvp,${semiSpace}`],
      new URL("support/many_requests.ts", import.meta.url).pathname,
      ...[String(requests), mode],
    ],
    cwd: new URL("..", import.meta.url).pathname,
    env: { NO_COLOR: "1" },
  }).output();
  const decoder = new TextDecoder();
  if (!success) throw new Error(decoder.decode(stderr));
  return decoder.decode(stdout).split("\n").flatMap((line) => {
    const json = /GC: (\{.*\})/.exec(line)?.[1];
    return json === undefined ? [] : [JSON.parse(json) as Collection];
  });
}

for (const [mode, most] of [["whole", 7_000], ["stream", 11_000]] as const) {
  Deno.test(`garbage: of a request that is over little grows old, ${mode}`, async () => {
    // What the start and the compiler leave behind is in both.
    const [few, many] = [2_000, 6_000];
    const promoted = await Promise.all([few, many].map(async (requests) => {
      const scavenges = (await collections(requests, mode)).filter(({ gc }) => gc === "s");
      assertLess(10, scavenges.length, "V8 logs no collections");
      return scavenges.reduce((sum, { promoted }) => sum + promoted, 0);
    }));
    const bytes = (promoted[1]! - promoted[0]!) / (many - few);
    console.log(`${Math.round(bytes)} bytes of a request outlive it`);
    assertLess(bytes, most);
  });
}
