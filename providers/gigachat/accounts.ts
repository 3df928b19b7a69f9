/**
 * GigaChat's accounts: one for each authorization key, or those of the configuration file.
 *
 * @module
 */
import type { Account } from "xrouter/provider";
import type { GigachatSettings } from "./settings.ts";
import { canSignIn, waysIn } from "./sign_in.ts";

type GigachatAccount = Account<GigachatSettings>;

/** Calls that Sber lets a person run at a time, and a company (its page of limits, November 2025). */
const personal = 1;
const company = 10;

/** What keeps the provider from being used; `undefined` when nothing does. */
export function missing({ accounts = [], ...shared }: GigachatSettings): string | undefined {
  return accounts.length > 0 || canSignIn(shared)
    ? undefined
    : `Set GIGACHAT_CREDENTIALS to the authorization key of the GigaChat project in the Studio cabinet; or set ${waysIn}`;
}

/**
 * The accounts that calls are spread over.
 *
 * @returns Each with the settings that its calls see: those for all, and over them its own.
 */
export function accountsOf({ accounts, ...shared }: GigachatSettings): GigachatAccount[] {
  if (accounts !== undefined && accounts.length > 0) {
    return accounts.map(({ name, baseUrl, ...own }) => {
      const given = Object.entries(own).filter(([, value]) => value !== undefined);
      return accountOf(name, { ...shared, ...Object.fromEntries(given) }, baseUrl);
    });
  }
  const { credentials = [] } = shared;
  if (credentials.length < 2) return [accountOf("1", shared)];
  return credentials.map((key, place) =>
    accountOf(String(place + 1), { ...shared, credentials: [key] })
  );
}

function accountOf(name: string, settings: GigachatSettings, baseUrl?: string): GigachatAccount {
  return {
    name,
    settings,
    baseUrl,
    parallel: settings.parallel ?? usualParallel(settings),
    counted: ["chat", ...settings.countedCalls],
  };
}

/** Installations with users of their own, or certificates, are companies'; only keys have a scope. */
function usualParallel({ scope, user, credentials, accessToken }: GigachatSettings): number {
  const hasScope = credentials !== undefined || accessToken !== undefined;
  if (user !== undefined || !hasScope) return company;
  return scope === "GIGACHAT_API_PERS" ? personal : company;
}
