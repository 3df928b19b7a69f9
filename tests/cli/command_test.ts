import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import project from "../../deno.json" with { type: "json" };
import { inFolder, xrouter } from "./xrouter.ts";

Deno.test("runCommand prints its help, its version and the help of a command", () =>
  inFolder(async (folder) => {
    const [help, version, keys, start] = await Promise.all([
      xrouter(folder, ["--help"]),
      xrouter(folder, ["--version"]),
      xrouter(folder, ["keys", "create", "-h"]),
      xrouter(folder, ["start", "--help"]),
    ]);
    assertEquals([help.code, help.stderr], [0, ""]);
    for (const name of ["start", "keys create", "plugins", "providers", "doctor"]) {
      assertMatch(help.stdout, new RegExp(`^  ${name} +[A-Z]`, "m"));
    }
    assertEquals(version, { code: 0, stdout: `xrouter ${project.version}\n`, stderr: "" });
    assertEquals([keys.code, keys.stderr], [0, ""]);
    assertStringIncludes(
      keys.stdout,
      "Usage: xrouter keys create --name NAME [--owner OWNER] [--expires WHEN] [--credit AMOUNT] [",
    );
    assertEquals(start.code, 0);
    assertMatch(start.stdout, /^ {2}PORT +Port to listen on.*\(8000\)$/m);
    assertMatch(start.stdout, /"xrouter plugins" .*"xrouter providers" .*README\.md/);
    assertEquals([...Deno.readDirSync(folder)], []);
  }));

Deno.test("runCommand exits with 2 and the usage line when the command line is wrong", () =>
  inFolder(async (folder) => {
    const cases: [args: string[], stderr: string][] = [
      [
        ["sttart"],
        'There is no command "sttart". "xrouter --help" lists them\nUsage: xrouter [COMMAND] [--version] [--help]\n',
      ],
      [["--port", "80"], 'Unknown flag "--port"\nUsage: xrouter [COMMAND] [--version] [--help]\n'],
      [
        ["keys"],
        '"keys" needs one more word: create, list, set, credit, credits, revoke\n' +
        "Usage: xrouter keys create|list|set|credit|credits|revoke\n",
      ],
      [["doctor", "--jsn"], 'Unknown flag "--jsn"\nUsage: xrouter doctor [--json]\n'],
    ];
    const ended = await Promise.all(cases.map(([args]) => xrouter(folder, args)));
    assertEquals(ended, cases.map(([, stderr]) => ({ code: 2, stdout: "", stderr })));
    assertEquals([...Deno.readDirSync(folder)], []);
  }));
