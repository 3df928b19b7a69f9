/**
 * The ways in which an account signs in, and which of their settings fit together.
 *
 * @module
 */
import type { z } from "zod";
import { keyPair } from "./pem.ts";

/** The fields that an account signs in with; see {@linkcode gigachatSettings}. */
export interface SignIn {
  readonly credentials?: readonly string[] | undefined;
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  readonly accessToken?: string | undefined;
  readonly certFile?: readonly string[] | undefined;
  readonly keyFile?: string | undefined;
  readonly keyPassword?: string | undefined;
}

/** The ways to get into an account, for messages. */
export const waysIn =
  "GIGACHAT_USER and GIGACHAT_PASSWORD, GIGACHAT_ACCESS_TOKEN, or GIGACHAT_CERT_FILE and GIGACHAT_KEY_FILE";

/** The variables of the fields. */
const variables: Readonly<Record<keyof SignIn, string>> = {
  credentials: "GIGACHAT_CREDENTIALS",
  user: "GIGACHAT_USER",
  password: "GIGACHAT_PASSWORD",
  accessToken: "GIGACHAT_ACCESS_TOKEN",
  certFile: "GIGACHAT_CERT_FILE",
  keyFile: "GIGACHAT_KEY_FILE",
  keyPassword: "GIGACHAT_KEY_PASSWORD",
};

/** Whether an account can sign in at all. */
export function canSignIn({ credentials = [], ...given }: SignIn): boolean {
  return credentials.length > 0 || given.user !== undefined || given.accessToken !== undefined ||
    given.certFile !== undefined;
}

interface Wrong {
  readonly field: keyof SignIn;
  readonly message: string;
}

/** What does not fit together in one account, at most one thing. */
function contradiction(given: SignIn, label: (field: keyof SignIn) => string): Wrong | undefined {
  const has = (field: keyof SignIn) => given[field] !== undefined;
  const ways = (["credentials", "user", "accessToken"] as const).filter(has);
  if (ways.length > 1) {
    return {
      field: ways[1]!,
      message: `stands beside ${label(ways[0]!)}, but an account signs in one way. Remove one`,
    };
  }
  const pairs = [
    ["user", "password"],
    ["password", "user"],
    ["certFile", "keyFile"],
    ["keyFile", "certFile"],
    ["keyPassword", "keyFile"],
  ] as const;
  const lone = pairs.find(([field, other]) => has(field) && !has(other));
  if (lone !== undefined) {
    return { field: lone[0], message: `is nothing without ${label(lone[1])}. Set both` };
  }
  if (given.user?.includes(":")) {
    return { field: "user", message: 'must not hold a ":", which ends a user\'s name' };
  }
  if (given.certFile === undefined || given.keyFile === undefined) return undefined;
  try {
    keyPair(given.certFile, given.keyFile, given.keyPassword);
    return undefined;
  } catch (error) {
    return { field: "keyFile", message: (error as Error).message };
  }
}

/** Refuses settings that contradict each other, at the field that is too much or wrong. */
export function checkSignIns(
  { accounts, ...shared }: SignIn & {
    accounts?: readonly (SignIn & { name: string })[] | undefined;
  },
  { addIssue }: z.RefinementCtx,
): void {
  const refuse = (path: (string | number)[], message: string) =>
    addIssue({ code: "custom", path, message });
  const wrong = contradiction(shared, (field) => variables[field]);
  if (wrong !== undefined) return refuse([wrong.field], wrong.message);
  if (accounts === undefined) return;
  const given = (Object.keys(variables) as (keyof SignIn)[])
    .find((field) => shared[field] !== undefined);
  if (given !== undefined) {
    return refuse(
      [given],
      'stands beside the "accounts" of the configuration file, which sign in themselves. Remove one',
    );
  }
  for (const [place, account] of accounts.entries()) {
    const wrong = contradiction(account, (field) => `"${field}"`);
    if (wrong !== undefined) refuse(["accounts", place, wrong.field], wrong.message);
    else if (!canSignIn(account)) {
      refuse(
        ["accounts", place],
        'needs "credentials", "user" and "password", "accessToken", or "certFile" and "keyFile"',
      );
    }
    if ((account.credentials?.length ?? 1) !== 1) {
      refuse(["accounts", place, "credentials"], "must be one key. Make an account of each key");
    }
    if (accounts.findIndex(({ name }) => name === account.name) < place) {
      refuse(["accounts", place, "name"], `"${account.name}" is the name of two accounts`);
    }
    const [key] = account.credentials ?? [];
    const twin = accounts.find(({ credentials }) => key !== undefined && credentials?.[0] === key);
    if (twin !== undefined && twin !== account) {
      const message = `is the key of the account "${twin.name}", whose calls it would run twice`;
      refuse(["accounts", place, "credentials"], message);
    }
  }
}
