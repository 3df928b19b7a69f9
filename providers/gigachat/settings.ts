/**
 * The settings of the GigaChat provider.
 *
 * @module
 */
import { X509Certificate } from "node:crypto";
import { setting } from "xrouter/provider";
import { z } from "zod";
import { schemaModes } from "./schema.ts";

/** Where Sber issues access tokens. The port matters to firewalls. */
const officialAuthUrl = "https://ngw.devices.sberbank.ru:9443/api/v2/oauth";

const certificateBlock = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** The base64 of `client id:client secret`, with or without the word `Basic` before it. */
const authorizationKey = z.string().transform((key) => key.replace(/^Basic\s+/i, ""))
  .refine(isAuthorizationKey);

const authUrl = z.string().refine(
  (url) => URL.canParse(url) && new URL(url).protocol === "https:",
  {
    error: `must be an address such as ${officialAuthUrl}`,
  },
);

/** A file's path on the way in, its certificates on the way out. */
const certificateFile = z.string().transform((path, context) => {
  try {
    return readCertificates(Deno.readTextFileSync(path));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    context.issues.push({ code: "custom", input: path, message: `cannot be used: ${reason}` });
    return z.NEVER;
  }
});

/** What the provider can be told. There is no setting that turns the check of certificates off. */
export const gigachatSettings = z.strictObject({
  credentials: setting(
    "GIGACHAT_CREDENTIALS",
    authorizationKey.optional(),
    'The authorization key from the GigaChat project in the Studio cabinet: the base64 of "client id:client secret"',
    { secret: true },
  ),
  scope: setting(
    "GIGACHAT_SCOPE",
    z.enum(["GIGACHAT_API_PERS", "GIGACHAT_API_B2B", "GIGACHAT_API_CORP"])
      .default("GIGACHAT_API_PERS"),
    "The scope that the cabinet shows beside the key: GIGACHAT_API_PERS for individuals, GIGACHAT_API_B2B for prepaid packages, GIGACHAT_API_CORP for pay-as-you-go",
  ),
  authUrl: setting(
    "GIGACHAT_AUTH_URL",
    authUrl.default(officialAuthUrl),
    "The address that issues access tokens",
  ),
  schemas: setting(
    "GIGACHAT_SCHEMAS",
    z.enum(schemaModes).optional(),
    "How JSON Schemas are sent: strict writes them in the small language that every model takes, as-is leaves them, auto (the default) does what the model needs",
  ),
  caBundle: setting(
    "GIGACHAT_CA_BUNDLE_FILE",
    certificateFile.optional(),
    "A PEM file of certificate authorities that GigaChat's hosts may use beside the usual ones, such as that of a corporate proxy",
  ),
});

/** The settings as the provider's methods get them. */
export type GigachatSettings = z.output<typeof gigachatSettings>;

function isAuthorizationKey(key: string): boolean {
  try {
    return atob(key).includes(":");
  } catch {
    return false;
  }
}

/** The certificates of a PEM text; a bad one would be skipped silently by the HTTP client. */
function readCertificates(text: string): string[] {
  const blocks = text.match(certificateBlock);
  if (blocks === null) throw new Error("the file holds no PEM certificate");
  for (const block of blocks) new X509Certificate(block);
  return blocks;
}
