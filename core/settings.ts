/**
 * Settings: each is declared once, with its variable, its type and its description, beside the code
 * that uses it. A value comes from the environment, else from the configuration file, else from the
 * schema's default.
 *
 * @module
 */
import { z } from "zod";
import { isHeaderValue } from "./header_syntax.ts";
import { wordsFor } from "./issues.ts";

/** What {@linkcode setting} writes into a schema's metadata. */
export interface SettingMeta {
  /** The environment variable. */
  variable: string;
  /** One sentence for people. */
  description: string;
  /** The value never appears in a message, a log or a table. */
  secret: boolean;
  /** A secret that may hold any letters, because it goes into no header as it is. */
  anyLetters: boolean;
}

/**
 * Declares one setting that can come from an environment variable.
 *
 * @param variable The environment variable's name.
 * @param schema Type and default. From the environment a `z.number()`, which may be optional or have a
 * default, comes as a number, if it is written in decimal digits, and anything else as a string.
 * @param description One sentence; the documentation prints it.
 * @param options `secret`: the value is never printed. `anyLetters`: a secret that goes into no
 * header as it is, such as a password.
 *
 * @example A plugin's limit
 * ```ts
 * import { readSettings, setting } from "xrouter/plugin";
 * import { z } from "zod";
 * import { assertEquals } from "@std/assert";
 *
 * const config = z.strictObject({
 *   perMinute: setting("API_RATE_LIMIT", z.number().default(100), "Requests a minute"),
 * });
 * const read = readSettings(config, { env: { API_RATE_LIMIT: "7" }, file: {}, at: "rate-limit" });
 * assertEquals(read.value, { perMinute: 7 });
 * ```
 */
export function setting<S extends z.ZodType>(
  variable: string,
  schema: S,
  description: string,
  { secret = false, anyLetters = false }: { secret?: boolean; anyLetters?: boolean } = {},
): S {
  return schema.meta({ variable, description, secret, anyLetters }) as S;
}

/**
 * Declares a setting that is a text and need not be set.
 *
 * @param form What the text must match.
 * @param words What is said of one that does not: `must be the name of a team`.
 */
export function text(
  variable: string,
  description: string,
  form?: RegExp,
  words: string = "has the wrong form",
): z.ZodOptional<z.ZodString> {
  const schema = form === undefined ? z.string() : z.string().regex(form, words);
  return setting(variable, schema.optional(), description);
}

/** Declares a setting that is a secret, such as a key, and need not be set. */
export function secret(variable: string, description: string): z.ZodOptional<z.ZodString> {
  return setting(variable, z.string().optional(), description, { secret: true });
}

/** A list written with commas in the environment, as an array in the configuration file. */
export const commaList: z.ZodType<string[]> = z.preprocess(
  (value) =>
    typeof value === "string"
      ? value.split(",").map((part) => part.trim()).filter((part) => part !== "")
      : value,
  z.array(z.string()),
);

/**
 * A whole number.
 *
 * @param least The lowest.
 * @param most The highest; by default that to which every whole number can be told from the next.
 */
export function wholeNumber(least: number, most: number = Number.MAX_SAFE_INTEGER): z.ZodNumber {
  return z.number({ error: "must be a number" })
    .min(least, { error: `must be at least ${least}`, abort: true })
    .max(most, { error: `must be at most ${most}`, abort: true })
    .int({ error: "must be a whole number" });
}

/** A wrong setting: where it stands and what to do. */
export interface Problem {
  /** File, variable or field. */
  at: string;
  /** What is wrong and the cure. */
  message: string;
}

/** Where values come from. */
export interface SettingSources {
  /** The environment, `.env` included. */
  env: Readonly<Record<string, string | undefined>>;
  /** This schema's section of the configuration file. */
  file: unknown;
  /** The section's name in messages: `plugins["rate-limit"]`. */
  at: string;
  /** The settings that go into headers, beside the secrets. */
  inHeaders?: readonly string[];
}

/** The settings of a schema with the declaration of each. */
export function settingsOf(
  schema: z.ZodType,
): Map<string, Partial<SettingMeta> & { schema: z.ZodType }> {
  const found = new Map<string, Partial<SettingMeta> & { schema: z.ZodType }>();
  if (!(schema instanceof z.ZodObject)) return found;
  for (const [field, declared] of Object.entries(schema.shape as Record<string, z.ZodType>)) {
    found.set(field, {
      ...(declared.meta() as Partial<SettingMeta> | undefined),
      schema: declared,
    });
  }
  return found;
}

/** The schema of what is set, where it need not be. */
function required(schema: z.ZodType): z.ZodType {
  return schema instanceof z.ZodOptional || schema instanceof z.ZodDefault
    ? required(schema.unwrap() as z.ZodType)
    : schema;
}

/** The texts of a schema's secret settings with their fields, also of those in lists of objects. */
export function secretsOf(schema: z.ZodType, value: unknown): [field: string, text: string][] {
  schema = required(schema);
  if (schema instanceof z.ZodArray && Array.isArray(value)) {
    return value.flatMap((each) => secretsOf(schema.element as z.ZodType, each));
  }
  return [...settingsOf(schema)].flatMap(([field, { secret, schema }]) => {
    const inner = (value as Readonly<Record<string, unknown>> | null | undefined)?.[field];
    if (!secret) return secretsOf(schema, inner);
    return (Array.isArray(inner) ? inner : [inner])
      .map((each): [string, string] => [field, typeof each === "number" ? `${each}` : each])
      .filter(([, text]) => typeof text === "string" && text !== "");
  });
}

/**
 * The fewest characters of a value that is struck out as a secret. Shorter ones stand for none, such
 * as "ollama" and "EMPTY": to strike them out would only garble the text.
 */
export const shortestSecret = 8;

/**
 * A text in which the values of a schema's secret settings are struck out.
 *
 * @param shortest The fewest characters of those.
 */
export function withoutSecrets(
  text: string,
  schema: z.ZodType,
  settings: Readonly<Record<string, unknown>>,
  shortest: number = shortestSecret,
): string {
  for (const [field, secret] of secretsOf(schema, settings)) {
    if (secret.length >= shortest) text = text.replaceAll(secret, `[${field}]`);
  }
  return text;
}

/**
 * Reads a schema's settings from the environment and the configuration file.
 *
 * @returns The value, or every problem at once; a problem names the variable or the file's field and
 * never a secret's value. An empty variable counts as not set.
 */
export function readSettings<S extends z.ZodType>(
  schema: S,
  { env, file, at, inHeaders = [] }: SettingSources,
): { value: z.output<S>; problems: [] } | { value?: undefined; problems: Problem[] } {
  const declared = settingsOf(schema);
  if (file !== undefined && (typeof file !== "object" || file === null || Array.isArray(file))) {
    return { problems: [{ at, message: "must be an object with one field a setting" }] };
  }
  const input: Record<string, unknown> = { ...(file as Record<string, unknown> | undefined) };
  const fromEnv = new Map<string, string>();
  for (const [field, { variable, schema }] of declared) {
    const value = variable === undefined ? undefined : env[variable]?.trim();
    if (variable === undefined || !value) continue;
    input[field] = required(schema) instanceof z.ZodNumber ? decimal(value) : value;
    fromEnv.set(field, variable);
  }
  const parsed = parse(schema, input);
  // Each field by itself, so that one that is wrong hides nothing of the others.
  const unsendable = [...declared].flatMap(([field, meta]): Problem[] => {
    const { data } = meta.schema.safeParse(input[field]);
    const message = unsafe(data, meta, inHeaders.includes(field));
    return message === undefined ? [] : [{ at: fromEnv.get(field) ?? `${at}.${field}`, message }];
  });
  if (parsed.success && unsendable.length === 0) return { value: parsed.data, problems: [] };
  const wrong = (parsed.error?.issues ?? []).map((issue): Problem => {
    if (issue.code === "unrecognized_keys" && issue.path.length === 0) {
      const known = [...declared.keys()].map((name) => `"${name}"`).join(", ") || "none";
      const keys = issue.keys.map((key) => `"${key}"`).join(", ");
      return { at, message: `unknown setting ${keys}. Known settings: ${known}` };
    }
    const [field, ...rest] = issue.path.map(String);
    const meta = declared.get(field ?? "");
    const place = fromEnv.get(field ?? "") ??
      (field === undefined ? at : `${at}.${[field, ...rest].join(".")}`);
    // A check's own words may be said, if they do not repeat the secret.
    const message = meta?.secret && issue.code !== "custom"
      ? "has the wrong form"
      : withoutSecrets(issue.message, schema, input, 1);
    const purpose = meta?.description === undefined ? "" : `. It sets: ${meta.description}`;
    return { at: place, message: `${message}${purpose}` };
  });
  return { problems: [...wrong, ...unsendable] };
}

/** @throws {Error} what a schema throws, without its words where they may repeat a secret. */
function parse<S extends z.ZodType>(schema: S, input: Readonly<Record<string, unknown>>) {
  try {
    return schema.safeParse(input, { error: wordsFor });
  } catch (error) {
    const hasSecrets = settingsOf(schema).values().some(({ secret }) => secret) ||
      secretsOf(schema, input).length > 0;
    if (!hasSecrets) throw error;
    throw new Error("an error whose words are left out, since they may repeat a secret");
  }
}

/** The number that a text is in decimal digits; `NaN`, which schemas refuse, for any other text. */
function decimal(text: string): number {
  return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : NaN;
}

/** Why a setting's value can go into no header; `undefined` where it can, or need not. */
function unsafe(
  value: unknown,
  { secret, anyLetters }: Partial<SettingMeta>,
  inHeaders: boolean,
): string | undefined {
  if (typeof value !== "string") return undefined;
  if (secret && !anyLetters && !/^[\x21-\x7e]*$/.test(value)) {
    return "holds white space or letters that no header can carry. Copy it again, whole";
  }
  return inHeaders && !isHeaderValue(value) ? "holds letters that no header can carry" : undefined;
}
