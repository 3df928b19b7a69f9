import { assertEquals, assertMatch } from "@std/assert";
import { dirname } from "node:path";
import config from "../deno.json" with { type: "json" };
import { dropIn } from "./support/drop_in.ts";

const root = new URL("..", import.meta.url).pathname;

const good = "export const a = 1;\n";
const misspaced = "export const   a = 1;\n";

interface Ended {
  code: number;
  said: string;
}

interface Repository {
  /** Writes a file into the folder; git is told nothing. */
  write(name: string, code: string): Promise<void>;
  /** Runs git there. */
  git(...args: string[]): Promise<Ended>;
}

/** Runs a test in a repository whose one commit has the project's gates, with the hook on. */
async function inRepository(run: (repository: Repository) => Promise<void>): Promise<void> {
  const lints = ["tests/support/layers_lint.ts", "tests/support/closures_lint.ts"];
  const gates = ["deno.json", ...lints, ".githooks/pre-commit"];
  const copies = gates.map(async (name) => [name, await Deno.readTextFile(`${root}${name}`)]);
  await using folder = await dropIn(Object.fromEntries(await Promise.all(copies)));
  await Deno.chmod(`${folder.path}/.githooks/pre-commit`, 0o755);
  // These tests may run within a hook, whose variables lead to another repository.
  const env = Object.entries(Deno.env.toObject()).filter(([name]) => !name.startsWith("GIT_"));
  const git = async (...args: string[]): Promise<Ended> => {
    const { code, stdout, stderr } = await new Deno.Command("git", {
      args: ["-c", "user.name=test", "-c", "user.email=test@example.com", ...args],
      cwd: folder.path,
      clearEnv: true,
      env: {
        ...Object.fromEntries(env),
        GIT_CONFIG_GLOBAL: "/dev/null",
        NO_COLOR: "1",
        PATH: `${dirname(Deno.execPath())}:${Deno.env.get("PATH")}`,
      },
    }).output();
    const decoder = new TextDecoder();
    return { code, said: decoder.decode(stdout) + decoder.decode(stderr) };
  };
  for (const args of [["init"], ["add", "."], ["commit", "--message=begin"]]) {
    const { code, said } = await git(...args);
    assertEquals(code, 0, said);
  }
  await git(...config.tasks.hooks.command.split(" ").slice(1));
  await run({ write: (name, code) => Deno.writeTextFile(`${folder.path}/${name}`, code), git });
}

function assertRefused({ code, said }: Ended, why: RegExp): void {
  assertEquals(code, 1, said);
  assertMatch(said, why);
}

function assertTaken({ code, said }: Ended): void {
  assertEquals(code, 0, said);
}

Deno.test("the pre-commit hook refuses what is not formatted, linted or typed, and takes the rest", () =>
  inRepository(async ({ write, git }) => {
    const refused: [code: string, said: RegExp][] = [
      [misspaced, /not formatted/],
      ["let a = 1;\nexport default a;\n", /prefer-const/],
      ['export const a: number = "1";\n', /TS2322/],
    ];
    for (const [code, said] of refused) {
      await write("main.ts", code);
      await git("add", "main.ts");
      assertRefused(await git("commit", "--message=bad"), said);
    }
    await write("main.ts", good);
    await git("add", "main.ts");
    assertTaken(await git("commit", "--message=good"));
  }));

Deno.test("the pre-commit hook looks at what is committed, and at nothing else in the folder", () =>
  inRepository(async ({ write, git }) => {
    await write("main.ts", misspaced);
    await git("add", "main.ts");
    await write("main.ts", good);
    assertRefused(await git("commit", "--message=staged"), /not formatted/);

    await git("add", "main.ts");
    await write("main.ts", misspaced);
    await write("untracked.ts", misspaced);
    assertTaken(await git("commit", "--message=staged"));

    assertRefused(await git("commit", "--all", "--message=all"), /not formatted/);
    await git("add", "main.ts");
    await write("other.ts", good);
    await git("add", "--intent-to-add", "other.ts");
    assertTaken(await git("commit", "--message=one", "other.ts"));
    assertRefused(await git("commit", "--message=one", "main.ts"), /not formatted/);
  }));
