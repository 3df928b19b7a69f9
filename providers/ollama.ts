/**
 * Ollama, on a machine of one's own: `http://127.0.0.1:11434/v1` unless it was moved.
 *
 * That address is not taken for granted: few machines run it, and each list of models would ask
 * there in vain.
 *
 * @module
 */
import { defineProvider } from "xrouter/provider";

// It stops generating when the connection closes.
export default defineProvider({ name: "ollama", onAbort: "cancel" });
