/**
 * The doctor's look at the vendors, and at the clock, which it compares with theirs.
 *
 * @module
 */
import { variableOf } from "../provider_settings.ts";
import type { Transport } from "../transport.ts";
import type { Check } from "./check.ts";
import type { Redact } from "./redact.ts";
import { explainVendorFault } from "./vendor_fault.ts";
import { within } from "./within.ts";

/** Milliseconds that the clock may be wrong by. */
const clockTolerance = 60_000;

/** What a look at one vendor found. */
export interface VendorLook {
  /** The lines to print. */
  readonly checks: readonly Check[];
  /** Milliseconds by which this machine's clock is ahead of the vendor's; absent if not known. */
  readonly clockAhead?: number;
}

/** The names of a provider's checks of its credentials, one for each account. */
export function credentialNames({ name, accounts }: Transport): string[] {
  return accounts.map((account) =>
    accounts.length === 1 ? `${name} credentials` : `${name} credentials ${account.name}`
  );
}

/**
 * Whether a provider can be used: its address answers, its certificate is trusted,
 * and it takes the credentials.
 *
 * @param provider The provider, which is configured.
 * @param redact Takes the secrets out of the vendor's words.
 */
export async function checkProvider(provider: Transport, redact: Redact): Promise<VendorLook> {
  const { name, local, models } = provider;
  if (local) {
    const found = `answers inside XRouter; ${Object.keys(models).length} models`;
    return { checks: [{ status: "ok", name, found }] };
  }
  const [[reached], lists] = await Promise.all([
    Promise.allSettled([reach(provider)]),
    Promise.allSettled(
      provider.accounts.map((account) => within((signal) => account.listModels(signal))),
    ),
  ]);
  const connection = `${name} connection`;
  const checks: Check[] = [];
  if (reached.status === "fulfilled") {
    const { protocol, host } = new URL(provider.baseUrl);
    const found = protocol === "https:"
      ? `${host} answers, and its certificate is trusted`
      : `${host} answers, without TLS`;
    checks.push({ status: "ok", name: connection, found });
  } else {
    checks.push({ name: connection, ...explainVendorFault(reached.reason, provider, redact) });
  }
  const names = credentialNames(provider);
  for (const [place, list] of lists.entries()) {
    const check = {
      name: names[place]!,
      ...list.status === "fulfilled"
        ? lookAt(list.value.map(({ id }) => id), name)
        : explainVendorFault(list.reason, provider, redact),
    };
    // What keeps the address from being reached is said once.
    if (checks[0]!.found !== check.found) checks.push(check);
  }
  return reached.status === "fulfilled" ? { checks, ...reached.value } : { checks };
}

function lookAt({ length }: readonly string[], provider: string): Omit<Check, "name"> {
  return length === 0
    ? {
      status: "warn",
      found: "the list of models is empty",
      cure: `Check ${variableOf(provider, "BASE_URL")}, and what the account may use`,
    }
    : { status: "ok", found: `${length} models are listed for these credentials` };
}

async function reach(provider: Transport): Promise<{ clockAhead?: number }> {
  const sent = Date.now();
  const headers = await within((signal) => provider.reach(signal));
  const vendor = Date.parse(headers.get("date") ?? "");
  if (Number.isNaN(vendor)) return {};
  // The header leaves out the fraction of a second: half of one on average.
  return { clockAhead: (sent + Date.now()) / 2 - (vendor + 500) };
}

/**
 * Compares this machine's clock with those of the vendors. The nearest counts: one that is right
 * proves this one right.
 */
export function checkClock(looks: readonly VendorLook[]): Check {
  const name = "clock";
  const [ahead] = looks.flatMap(({ clockAhead }) => clockAhead ?? [])
    .toSorted((a, b) => Math.abs(a) - Math.abs(b));
  if (ahead === undefined) {
    const found = `it shows ${new Date().toISOString()}; no vendor answered to compare it with`;
    return { status: "info", name, found };
  }
  const seconds = Math.round(Math.abs(ahead) / 1000);
  if (Math.abs(ahead) <= clockTolerance) {
    return { status: "ok", name, found: `within ${Math.max(1, seconds)} s of the vendors' clocks` };
  }
  return {
    status: "warn",
    name,
    found: `${seconds} s ${ahead > 0 ? "ahead of" : "behind"} the vendors' clocks`,
    cure: "Switch on time synchronisation (NTP): keys, tokens and certificates end by this clock",
  };
}
