import { assertEquals } from "@std/assert";
import { dropIn } from "./support/drop_in.ts";

/**
 * Runs the gates with a `deno` that does nothing but what is said.
 *
 * @param tests What the test runner prints at its end.
 * @param failing The tasks and subcommands that fail.
 * @returns The exit code and the last two lines.
 */
async function run(tests: string, ...failing: string[]): Promise<[number, ...string[]]> {
  await using folder = await dropIn({
    ".ci/run": await Deno.readTextFile(new URL("../.ci/run", import.meta.url)),
    "bin/deno": `#!/bin/sh
      if [ "$1" = task ]; then shift; fi
      if [ "$1" = test ]; then printf '%s\\n' "$TESTS"; fi
      case " $FAILING " in *" $1 "*) exit 1;; esac
    `,
  });
  await Deno.chmod(`${folder.path}/bin/deno`, 0o755);
  const { code, stdout } = await new Deno.Command("bash", {
    args: [`${folder.path}/.ci/run`],
    env: {
      PATH: `${folder.path}/bin:${Deno.env.get("PATH")}`,
      CI_REPORT_DIR: "",
      TESTS: tests,
      FAILING: failing.join(" "),
    },
    stderr: "null",
  }).output();
  return [code, ...new TextDecoder().decode(stdout).trimEnd().split("\n").slice(-2)];
}

const passed = "running 7 tests\nok | 7 passed (2 steps) | 0 failed | 1 ignored (3s)";

Deno.test("the gates pass when tests and all else do, and the last line counts the tests", async () => {
  assertEquals(await run(passed), [0, "=== every gate passed", "7 passed, 0 failed"]);
  const inner = `ok | 99 passed | 0 failed (1s)\n${passed}`;
  assertEquals(await run(inner), [0, "=== every gate passed", "7 passed, 0 failed"]);
});

Deno.test("the gates fail when no test has run", async () => {
  for (const nothing of ["ok | 0 passed | 0 failed | 7 ignored (3s)", ""]) {
    assertEquals(await run(nothing), [1, "=== failed: test", "0 passed, 1 failed"]);
  }
});

Deno.test("the last line of the gates counts each that failed beside the tests", async () => {
  const cases: [tests: string, failing: string[], verdict: string, line: string][] = [
    [passed, ["lint"], "lint", "7 passed, 1 failed"],
    [passed, ["lint", "types", "coverage"], "lint types coverage", "7 passed, 3 failed"],
    ["FAILED | 5 passed | 2 failed (3s)", ["test"], "test", "5 passed, 2 failed"],
    ["FAILED | 5 passed | 2 failed (3s)", ["test", "doc"], "test docs", "5 passed, 3 failed"],
    // A type error, or a leak: the run has failed, and none of its tests.
    [passed, ["test"], "test", "7 passed, 1 failed"],
    ["error: Type checking failed.", ["test"], "test", "0 passed, 1 failed"],
  ];
  for (const [tests, failing, verdict, line] of cases) {
    assertEquals(await run(tests, ...failing), [1, `=== failed: ${verdict}`, line]);
  }
});
