/**
 * vLLM, on a machine of one's own; a key is needed where it was started with `--api-key`.
 *
 * @module
 */
import { defineProvider } from "xrouter/provider";

// It stops generating when the connection closes.
export default defineProvider({ name: "vllm", onAbort: "cancel" });
