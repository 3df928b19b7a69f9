/**
 * Keeps secrets out of what is printed: vendors repeat what they were sent.
 *
 * @module
 */
import { type Assembly, schemasOf } from "../assembly.ts";
import { secretsOf, settingsOf, shortestSecret } from "../settings.ts";

/** Takes every secret out of a text. */
export type Redact = (text: string) => string;

/** An address without the user and password that it may hold. */
export function withoutUser(text: string): string {
  return text.replace(/(\w:\/\/)[^/?#\s"]*@/g, "$1");
}

function isScheme(part: string): boolean {
  return /^(Basic|Bearer)$/i.test(part);
}

/**
 * Makes a function that takes the values of all secret settings out of a text.
 *
 * @param assembly What is configured, as far as it could be read.
 */
export function createRedact(assembly: Assembly): Redact {
  const { env } = assembly.config;
  const secrets = new Map<string, string>();
  for (const { schema, section } of schemasOf(assembly)) {
    const values = secretsOf(schema, section);
    for (const [field, { secret, variable }] of settingsOf(schema)) {
      if (secret && variable !== undefined) values.push([field, env[variable] ?? ""]);
    }
    for (const [field, value] of values) {
      // What follows a scheme, as in `Basic …`, and each of a list may also be sent by itself.
      for (const part of [value.trim(), ...value.trim().split(/[\s,]+/)]) {
        if (part.length >= shortestSecret && !isScheme(part)) secrets.set(part, field);
      }
    }
  }
  const longestFirst = [...secrets.keys()].sort((a, b) => b.length - a.length);
  // All in one pass, because a secret may be part of a name that has taken another one's place.
  const any = new RegExp(longestFirst.map(RegExp.escape).join("|") || "(?!)", "g");
  return (text) => withoutUser(text.replace(any, (secret) => `[${secrets.get(secret)}]`));
}
