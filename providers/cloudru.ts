/**
 * Cloud.ru Evolution Foundation Models: open models, GigaChat's among them.
 *
 * Signs in with the API key of a service account, or with the tokens that an access key gets.
 *
 * @module
 */
import { defineProvider, secret, secureUrl, setting, text } from "xrouter/provider";

export default defineProvider({
  name: "cloudru",
  baseUrl: "https://foundation-models.api.cloud.ru/v1",
  settings: {
    apiKey: secret("CLOUDRU_API_KEY", "The API key of a Cloud.ru service account"),
    keyId: text(
      "CLOUDRU_KEY_ID",
      "The id of a Cloud.ru access key, used where there is no API key",
    ),
    secret: secret("CLOUDRU_SECRET", "The secret of that access key"),
    authUrl: setting(
      "CLOUDRU_AUTH_URL",
      secureUrl.default("https://iam.api.cloud.ru/api/v1/auth/token"),
      "The address that issues tokens for an access key",
    ),
  },
  signIn: ["Bearer {apiKey}", { url: "{authUrl}", json: { keyId: "{keyId}", secret: "{secret}" } }],
});
