/**
 * What a refusal means that only v2 knows.
 *
 * @module
 */
import { RouterError } from "xrouter/provider";
import { readVendorMessage } from "../../../core/fault.ts";

/** A tool that is not there. The model is, and another account would not have the tool either. */
export function unknownTool(status: number, body: string): RouterError | undefined {
  const { message } = readVendorMessage(body);
  return status === 404 && message?.startsWith("Unknown tool")
    ? new RouterError("invalid_request", `GigaChat refuses the request: ${message}`, {
      detail: `HTTP ${status} ${body.slice(0, 500)}`,
    })
    : undefined;
}
