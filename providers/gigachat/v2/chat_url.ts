/**
 * The address of v2, which stands beside that of v1.
 *
 * @module
 */
import { RouterError } from "xrouter/provider";

/**
 * The address of a chat by v2: `/v1` at the base's end becomes `/v2`.
 *
 * @param baseUrl The address in force, without a slash at its end.
 * @throws {RouterError} `upstream_rejected` for a base that ends in no version; the detail names the
 * setting.
 */
export function chatUrlOfV2(baseUrl: string): string {
  const base = baseUrl.replace(/\/v\d+$/, "/v2");
  if (base !== baseUrl || baseUrl.endsWith("/v2")) return `${base}/chat/completions`;
  throw new RouterError("upstream_rejected", "GigaChat's v2 has no address", {
    detail:
      `GIGACHAT_BASE_URL is "${baseUrl}". Let it end in a version, such as /v1, or take the model out of GIGACHAT_V2_MODELS`,
  });
}
