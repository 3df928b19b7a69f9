/**
 * What a subcommand is, and how its arguments are read.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { formatTable } from "./terminal.ts";

/** The command line is wrong: exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** A flag (`--name NAME`, `--json`), or a word that stands without a flag. */
export interface Argument {
  /** One line of the help. */
  readonly about: string;
  /** What its value is called in the help; without it the flag is a switch. */
  readonly value?: string;
  /** The command cannot do without it. */
  readonly required?: true;
  /** It is a word without a flag, and is required too; several stand in the declared order. */
  readonly bare?: true;
}

type Arguments = Readonly<Record<string, Argument>>;

/** The values of arguments by their names. */
export type Values<Declared extends Arguments> = {
  readonly [Name in keyof Declared]: Declared[Name] extends { value: string }
    ? Declared[Name] extends { required: true } ? string : string | undefined
    : boolean;
};

/** A subcommand. */
export interface Command<Declared extends Arguments = Arguments> {
  /** Its words: `keys create`. */
  readonly name: string;
  /** One line for the list of commands. */
  readonly about: string;
  /** Its arguments by name, those without a flag first. */
  readonly arguments: Declared;
  /** Further paragraphs of its help. */
  help?(): string;
  /**
   * Does it. Standard output takes what was asked for and nothing else.
   *
   * @returns The exit code.
   * @throws {UsageError} when a value has the wrong form; any other error when it fails.
   */
  run(values: Values<Declared>): number | Promise<number>;
}

/** The switch that most commands have. */
export const jsonSwitch = { about: "Print JSON" } as const satisfies Argument;

/** Types a command: its values follow from its arguments. */
export function defineCommand<const Declared extends Arguments>(
  command: Command<Declared>,
): Command<Declared> {
  return command;
}

/** The usage line: `xrouter keys create --name NAME [--json]`. */
export function usageOf(command: Command): string {
  const parts = Object.entries(command.arguments).map(([name, each]) => {
    const text = spell(name, each);
    return each.required ? text : `[${text}]`;
  });
  return ["xrouter", command.name, ...parts].join(" ");
}

/** The text of `--help`. */
export function helpOf(command: Command): string {
  const rows = Object.entries(command.arguments).map(([name, each]) => [
    `  ${spell(name, each)}`,
    each.about,
  ]);
  return [
    `${command.about}.`,
    `Usage: ${usageOf(command)}`,
    formatTable(rows).join("\n"),
    command.help?.() ?? "",
  ].filter((paragraph) => paragraph !== "").join("\n\n");
}

function spell(name: string, { value, bare }: Argument): string {
  if (bare) return value!;
  return value === undefined ? `--${name}` : `--${name} ${value}`;
}

/**
 * Reads what stands after a command's name.
 *
 * @returns The values, or `help` when they ask for help.
 * @throws {UsageError} naming the argument that is unknown, missing, repeated or without its value.
 */
export function readArguments<Declared extends Arguments>(
  command: Command<Declared>,
  args: string[],
): Values<Declared> | "help" {
  const declared = Object.entries(command.arguments);
  const { values, positionals } = parse(command.arguments, args);
  if (values.help !== undefined) return "help";
  const read: Record<string, string | boolean | undefined> = {};
  for (const [name, each] of declared) {
    const given: readonly (string | boolean)[] = each.bare
      ? positionals.splice(0, 1)
      : values[name] ?? [];
    const text = spell(name, each);
    if (given.length > 1) throw new UsageError(`"--${name}" is given ${given.length} times`);
    if (each.required && given[0] === undefined) throw new UsageError(`${text} is missing`);
    if (given[0] === "") throw new UsageError(`${text} is empty`);
    read[name] = each.value === undefined ? given[0] === true : withoutMark(given[0]);
  }
  if (positionals.length > 0) {
    throw new UsageError(`Unexpected argument "${withoutMark(positionals[0])}"`);
  }
  return read as Values<Declared>;
}

interface Parsed {
  values: Record<string, (string | boolean)[] | undefined>;
  positionals: string[];
}

/** What stands before a negative number while it is parsed: no process can be given it. */
const valueMark = "\0";

function withoutMark<Value>(value: Value): Value | string {
  return typeof value === "string" ? value.replace(valueMark, "") : value;
}

function parse(declared: Arguments, args: string[]): Parsed {
  const options = Object.entries(declared).filter(([, { bare }]) => !bare).map(([name, each]) => [
    name,
    { type: each.value === undefined ? "boolean" : "string", multiple: true } as const,
  ]);
  try {
    return parseArgs({
      // No flag is a number: "-5" is a value, wherever it stands.
      args: args.map((arg) => /^-\d/.test(arg) ? valueMark + arg : arg),
      options: {
        ...Object.fromEntries(options),
        help: { type: "boolean", short: "h", multiple: true },
      },
      allowPositionals: true,
      strict: true,
    }) as Parsed;
  } catch (error) {
    const { code, message } = error as Error & { code?: string };
    if (!code?.startsWith("ERR_PARSE_ARGS")) throw error;
    const flag = /'(-[^' ]*)/.exec(message)?.[1] ?? "";
    if (code === "ERR_PARSE_ARGS_UNKNOWN_OPTION") throw new UsageError(`Unknown flag "${flag}"`);
    throw new UsageError(
      declared[flag.slice(2)]?.value === undefined
        ? `"${flag}" takes no value`
        : `"${flag}" needs a value. One that begins with a dash is written "${flag}=-…"`,
    );
  }
}
