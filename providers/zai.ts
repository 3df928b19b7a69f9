/**
 * Z.ai, the maker of the GLM models. Its coding plan is called at
 * `https://api.z.ai/api/coding/paas/v4`, by `ZAI_BASE_URL`.
 *
 * @module
 */
import { defineProvider, RouterError } from "xrouter/provider";
import { readVendorMessage } from "../core/fault.ts";

export default defineProvider({
  name: "zai",
  baseUrl: "https://api.z.ai/api/paas/v4",
  fault(status, body) {
    if (readVendorMessage(body).code !== "1113") return undefined;
    // Its status is the one of a busy vendor.
    return new RouterError(
      "insufficient_quota",
      "Z.ai asks XRouter's operator to pay (code 1113)",
      {
        detail: `A coding plan has an address of its own: ZAI_BASE_URL (HTTP ${status} ${body})`,
      },
    );
  },
});
