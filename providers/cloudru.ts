/**
 * Cloud.ru Evolution Foundation Models: open models, GigaChat's among them.
 *
 * Signs in with the API key of a service account, or with the tokens that an access key gets.
 *
 * @module
 */
import { bearerTokens, defineProvider, readGrant, setting } from "xrouter/provider";
import { z } from "zod";

const settings = z.strictObject({
  apiKey: setting(
    "CLOUDRU_API_KEY",
    z.string().optional(),
    "The API key of a Cloud.ru service account",
    { secret: true },
  ),
  keyId: setting(
    "CLOUDRU_KEY_ID",
    z.string().optional(),
    "The id of a Cloud.ru access key, used where there is no API key",
  ),
  secret: setting(
    "CLOUDRU_SECRET",
    z.string().optional(),
    "The secret of that access key",
    { secret: true },
  ),
  authUrl: setting(
    "CLOUDRU_AUTH_URL",
    z.url().default("https://iam.api.cloud.ru/api/v1/auth/token"),
    "The address that issues tokens for an access key",
  ),
});

const tokens = bearerTokens<z.output<typeof settings>>(
  async ({ fetch, settings: { authUrl, keyId, secret } }) =>
    readGrant(
      await fetch(authUrl, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ keyId, secret }),
      }),
    ),
);

export default defineProvider({
  name: "cloudru",
  baseUrl: "https://foundation-models.api.cloud.ru/v1",
  settings,
  missing: ({ apiKey, keyId, secret }) =>
    apiKey || (keyId && secret)
      ? undefined
      : "Set CLOUDRU_API_KEY, or CLOUDRU_KEY_ID and CLOUDRU_SECRET",
  authorize: (wire, rejected) =>
    wire.settings.apiKey
      ? { authorization: `Bearer ${wire.settings.apiKey}` }
      : tokens(wire, rejected),
});
