/**
 * The command line: finds the subcommand, runs it, and turns what goes wrong into an exit code.
 *
 * @module
 */
import project from "../../deno.json" with { type: "json" };
import { programSettings } from "../config.ts";
import { settingsOf } from "../settings.ts";
import {
  type Command,
  defineCommand,
  helpOf,
  readArguments,
  UsageError,
  usageOf,
} from "./arguments.ts";
import { checkFiles } from "./check_files.ts";
import { explain } from "./explain.ts";
import { doctor } from "./doctor.ts";
import { creditKey } from "./key_credit.ts";
import { listCredits } from "./key_credits.ts";
import { setKeyLimits } from "./key_limits.ts";
import { createKey, listKeys, revokeKey } from "./keys.ts";
import { checkLedgerCommand } from "./ledger.ts";
import { plugins } from "./plugins.ts";
import { listPrices, setPrice, unsetPrice } from "./prices.ts";
import { providers } from "./providers.ts";
import { routes } from "./routes.ts";
import { start } from "./start.ts";
import { formatTable } from "./terminal.ts";
import { showUsage } from "./usage.ts";

const commands: readonly Command[] = [
  defineCommand({
    name: "start",
    about: "Serve until told to stop; without a command XRouter does this",
    arguments: {},
    help: () =>
      `Settings are environment variables, or lines of a file ".env":\n${settingsTable()}\n\n` +
      'Plugins and providers have further ones: "xrouter plugins" lists those of plugins, ' +
      '"xrouter providers" says what each provider needs, and README.md describes all.',
    run: start,
  }),
  createKey,
  listKeys,
  setKeyLimits,
  creditKey,
  listCredits,
  revokeKey,
  listPrices,
  setPrice,
  unsetPrice,
  showUsage,
  checkLedgerCommand,
  plugins,
  providers,
  routes,
  explain,
  checkFiles,
  doctor,
];

/** What runs when the first word is no command. */
const program = defineCommand({
  name: "[COMMAND]",
  about: "One address for many language models",
  arguments: { version: { about: "Print the version" }, help: { about: "Explain a command" } },
  help: () =>
    `Commands:\n${commandTable(commands)}\n\n` +
    'In a checkout write "deno task COMMAND" for "xrouter COMMAND".',
  run({ version }) {
    if (!version) return start();
    console.log(`${project.name} ${project.version}`);
    return 0;
  },
});

/**
 * Runs the command line.
 *
 * @param args What stands after the program's name.
 * @returns The exit code: 0 if it went well, 1 if it failed, 2 if the command line is wrong; the
 * reason is on standard error.
 */
export async function runCommand(args: string[]): Promise<number> {
  let command: Command = program;
  try {
    const found = findCommand(args);
    command = found.command;
    const values = readArguments(command, found.rest);
    if (values !== "help") return await command.run(values);
    console.log(helpOf(command));
    return 0;
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    if (!(error instanceof UsageError)) return 1;
    console.error(`Usage: ${usageOf(command)}`);
    return 2;
  }
}

function findCommand(args: string[]): { command: Command; rest: string[] } {
  const [first, second] = args;
  if (first === undefined || first.startsWith("-")) return { command: program, rest: args };
  const one = commands.find(({ name }) => name === first);
  if (one !== undefined) return { command: one, rest: args.slice(1) };
  const two = commands.find(({ name }) => name === `${first} ${second}`);
  if (two !== undefined) return { command: two, rest: args.slice(2) };
  const members = commands.filter(({ name }) => name.startsWith(`${first} `));
  if (members.length > 0) return { command: groupOf(first, members), rest: args.slice(1) };
  throw new UsageError(`There is no command "${first}". "xrouter --help" lists them`);
}

/** `keys` alone, which can only be asked for help. */
function groupOf(word: string, members: readonly Command[]): Command {
  const verbs = members.map(({ name }) => name.slice(word.length + 1));
  return defineCommand({
    name: `${word} ${verbs.join("|")}`,
    about: `The commands of "${word}"`,
    arguments: {},
    help: () => commandTable(members),
    run() {
      throw new UsageError(`"${word}" needs one more word: ${verbs.join(", ")}`);
    },
  });
}

function commandTable(listed: readonly Command[]): string {
  return formatTable(listed.map(({ name, about }) => [`  ${name}`, about])).join("\n");
}

function settingsTable(): string {
  const rows = [...settingsOf(programSettings).values()].map(
    ({ variable, schema, description }) => {
      const standard = schema.safeParse(undefined).data;
      const shown = standard === undefined || `${standard}` === "" ? "" : ` (${standard})`;
      return [`  ${variable}`, `${description}${shown}`];
    },
  );
  return formatTable([["  XROUTER_CONFIG", "Configuration file: JSON, with comments"], ...rows])
    .join("\n");
}
