import { assert } from "@std/assert";

/**
 * Runs a function's body in four processes, all at the same moment, a second from now.
 *
 * @param imports What it needs.
 * @returns What each printed.
 */
export async function runTogether(imports: string, body: string): Promise<string[]> {
  const code = `${imports} while (Date.now() < ${Date.now() + 1_000}); ${body}`;
  const runs = Array.from({ length: 4 }, () =>
    new Deno.Command(Deno.execPath(), {
      args: ["eval", "--no-check", "--no-lock", code],
      cwd: new URL("../..", import.meta.url),
    }).output());
  return (await Promise.all(runs)).map(({ success, stdout, stderr }) => {
    assert(success, new TextDecoder().decode(stderr));
    return new TextDecoder().decode(stdout);
  });
}
