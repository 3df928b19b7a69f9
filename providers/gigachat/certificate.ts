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
 * The authorities to trust beside the usual ones.
 *
 * One HTTP client calls both addresses, and it cannot tell them apart. The Russian root is therefore
 * added only where both belong to Sber; whoever puts another host in between names the authorities
 * in `GIGACHAT_CA_BUNDLE_FILE`.
 *
 * @param settings The provider's settings.
 * @param baseUrl The API's address in force.
 * @returns Certificates in PEM.
 */
export function authoritiesFor(
  { authUrl, caBundle = [] }: Pick<GigachatSettings, "authUrl" | "caBundle">,
  baseUrl: string,
): string[] {
  const onlySber = isSberHost(authUrl) && isSberHost(baseUrl);
  return onlySber ? [russianTrustedRoot, ...caBundle] : [...caBundle];
}

/** The options of an account's HTTP client. */
export function httpClient(
  settings: GigachatSettings,
  baseUrl: string,
): Deno.CreateHttpClientOptions {
  const { certFile, keyFile, keyPassword } = settings;
  const caCerts = authoritiesFor(settings, baseUrl);
  if (certFile === undefined || keyFile === undefined) return { caCerts };
  return { caCerts, ...keyPair(certFile, keyFile, keyPassword) };
}

/** Whether an address lies under one of Sber's domains. */
export function isSberHost(url: string): boolean {
  const { hostname } = new URL(url);
  return sberDomains.some((domain) => hostname === domain || hostname.endsWith(`.${domain}`));
}
