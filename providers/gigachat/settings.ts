/**
 * The settings of the GigaChat provider.
 *
 * @module
 */
import { setting, text } from "xrouter/provider";
import { z } from "zod";
import { commaList, wholeNumber } from "../../core/settings.ts";
import { grantable, usuallyGranted } from "./granted_fields.ts";
import { certificateFile, keyFile } from "./pem.ts";
import { schemaModes } from "./schema.ts";
import { checkSignIns } from "./sign_in.ts";
import { v2Settings } from "./v2/settings.ts";

/** Where Sber issues access tokens. The port matters to firewalls. */
const officialAuthUrl = "https://ngw.devices.sberbank.ru:9443/api/v2/oauth";

const authorizationKeys = commaList.transform((keys) =>
  keys.map((key) => key.replace(/^Basic\s+/i, ""))
).superRefine((keys, { addIssue }) => {
  const which = (place: number) => keys.length === 1 ? "the key" : `key ${place + 1} of the list`;
  for (const [place, key] of keys.entries()) {
    if (!isAuthorizationKey(key)) {
      addIssue(`${which(place)} is not the base64 of "client id:client secret"`);
    } else if (keys.indexOf(key) < place) {
      addIssue(`${which(place)} stands in the list twice. Remove one of them`);
    }
  }
});

const address = (example: string) =>
  z.string().refine((url) => {
    const { protocol, username, password } = URL.parse(url) ?? {};
    return protocol === "https:" && username === "" && password === "" && !/[?#]/.test(url);
  }, { error: `must be an address such as ${example}, with nothing behind its path` });

const scopes = ["GIGACHAT_API_PERS", "GIGACHAT_API_B2B", "GIGACHAT_API_CORP"] as const;

const parallel = wholeNumber(1);

/** Some of several words, with commas between; `none` for none of them. */
function someOf<Word extends string>(words: readonly Word[], usual: readonly Word[]) {
  const item = z.enum(words, { error: `must be some of ${words.join(", ")}, or none` });
  return commaList.default([...usual])
    .transform((given) => given.length === 1 && given[0] === "none" ? [] : given)
    .pipe(z.array(item));
}

const countedCalls = someOf(["embeddings", "count"], ["embeddings", "count"]);
const grantedFields = someOf(grantable, usuallyGranted);

/** What an account signs in with. */
const signIn = {
  credentials: setting(
    "GIGACHAT_CREDENTIALS",
    authorizationKeys.optional(),
    'The authorization key from the GigaChat project in the Studio cabinet: the base64 of "client id:client secret". Several with commas between: calls are spread over all',
    { secret: true },
  ),
  user: text("GIGACHAT_USER", "The user of an installation that signs in by user and password"),
  password: setting(
    "GIGACHAT_PASSWORD",
    z.string().optional(),
    "The password of GIGACHAT_USER",
    { secret: true, anyLetters: true },
  ),
  accessToken: setting(
    "GIGACHAT_ACCESS_TOKEN",
    z.string().transform((token) => token.replace(/^Bearer\s+/i, "")).optional(),
    "A ready access token, which ends after half an hour and which you renew yourself",
    { secret: true },
  ),
  certFile: setting(
    "GIGACHAT_CERT_FILE",
    certificateFile.optional(),
    "A PEM file with the client certificate that GigaChat's API asks for",
  ),
  keyFile: setting(
    "GIGACHAT_KEY_FILE",
    keyFile.optional(),
    "A PEM file with the private key of that certificate",
  ),
  keyPassword: setting(
    "GIGACHAT_KEY_PASSWORD",
    z.string().optional(),
    "The password of that private key",
    { secret: true, anyLetters: true },
  ),
};

const caBundle = certificateFile.optional();

/** What may differ from account to account; what an account leaves out is as it is for all. */
const account = z.strictObject({
  ...signIn,
  name: z.string().regex(/^[\w.-]{1,40}$/, {
    error: 'must be a word of letters, digits and "._-"',
  }),
  baseUrl: address("https://api.giga.chat/v1").optional(),
  scope: z.enum(scopes).optional(),
  authUrl: address(officialAuthUrl).optional(),
  caBundle,
  parallel: parallel.optional(),
});

/** What the provider can be told. There is no setting that turns the check of certificates off. */
export const gigachatSettings = z.strictObject({
  ...signIn,
  ...v2Settings,
  scope: setting(
    "GIGACHAT_SCOPE",
    z.enum(scopes).default("GIGACHAT_API_PERS"),
    "The scope that the cabinet shows beside the key: GIGACHAT_API_PERS for individuals, GIGACHAT_API_B2B for prepaid packages, GIGACHAT_API_CORP for pay-as-you-go",
  ),
  parallel: setting(
    "GIGACHAT_PARALLEL",
    parallel.optional(),
    "Calls that Sber lets an account run at a time; without it 1 for GIGACHAT_API_PERS and 10 for others",
  ),
  countedCalls: setting(
    "GIGACHAT_COUNTED_CALLS",
    countedCalls,
    "Calls beside chats that Sber counts among GIGACHAT_PARALLEL: embeddings, count (of tokens), with commas between, or none",
  ),
  grantedFields: setting(
    "GIGACHAT_GRANTED_FIELDS",
    grantedFields,
    `Which of the fields that Sber has for some accounts alone are sent for yours: ${
      grantable.join(", ")
    }, with commas between, or none`,
  ),
  sessions: setting(
    "GIGACHAT_SESSIONS",
    z.enum(["on", "off"]).default("on"),
    "Name each conversation to GigaChat in X-Session-ID, so that its repeated beginning comes from Sber's cache and costs nothing",
  ),
  authUrl: setting(
    "GIGACHAT_AUTH_URL",
    address(officialAuthUrl).default(officialAuthUrl),
    "The address that issues access tokens",
  ),
  schemas: setting(
    "GIGACHAT_SCHEMAS",
    z.enum(schemaModes).optional(),
    "How JSON Schemas are sent: strict writes them in the small language that every model takes, as-is leaves them, auto (the default) does what the model needs",
  ),
  caBundle: setting(
    "GIGACHAT_CA_BUNDLE_FILE",
    caBundle,
    "A PEM file of certificate authorities that GigaChat's hosts may use beside the usual ones, such as that of a corporate proxy",
  ),
  accounts: z.array(account).optional(),
}).superRefine(checkSignIns);

/** The settings as the provider's methods get them. */
export type GigachatSettings = z.output<typeof gigachatSettings>;

function isAuthorizationKey(key: string): boolean {
  try {
    return atob(key).includes(":");
  } catch {
    return false;
  }
}
