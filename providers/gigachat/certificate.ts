/**
 * Which certificate authorities GigaChat's hosts may use, and which certificate they are shown.
 *
 * @module
 */
import { keyPair } from "./pem.ts";
import { russianTrustedRoot } from "./russian_root.ts";
import type { GigachatSettings } from "./settings.ts";

/** The domains under which Sber serves GigaChat: the public hosts, the old ones and its own network. */
const sberDomains = ["giga.chat", "sberbank.ru", "sberdevices.ru", "sbrf.ru"];

/**
 * The authorities that one address may use beside the usual ones: the Russian root where it is
 * Sber's. Whoever puts another host in between names its authorities in `GIGACHAT_CA_BUNDLE_FILE`.
 *
 * @returns Certificates in PEM.
 */
export function authoritiesFor(
  url: string,
  { caBundle = [] }: Pick<GigachatSettings, "caBundle">,
): string[] {
  return isSberHost(url) ? [russianTrustedRoot, ...caBundle] : [...caBundle];
}

/** The options of an account's HTTP client. */
export function httpClient(
  settings: GigachatSettings,
  baseUrl: string,
): Deno.CreateHttpClientOptions {
  const { certFile, keyFile, keyPassword } = settings;
  const caCerts = authoritiesFor(baseUrl, settings);
  if (certFile === undefined || keyFile === undefined) return { caCerts };
  return { caCerts, ...keyPair(certFile, keyFile, keyPassword) };
}

/** Whether an address lies under one of Sber's domains. */
export function isSberHost(url: string): boolean {
  const { hostname } = new URL(url);
  return sberDomains.some((domain) => hostname === domain || hostname.endsWith(`.${domain}`));
}
