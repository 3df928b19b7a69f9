/**
 * The settings of GigaChat's v2 chat.
 *
 * @module
 */
import { setting } from "xrouter/provider";
import { z } from "zod";
import { commaList } from "../../../core/settings.ts";

/** Roles that the result of a tool is sent under; `auto` finds out which one the host takes. */
const toolRoles = ["auto", "tool", "function"] as const;

/** How v2 counts cached tokens: beside `input_tokens`, as v1 does, or within them, as OpenAI does. */
const cachedTokens = ["beside", "within"] as const;

/** What v2 can be told; part of the provider's settings. */
export const v2Settings = {
  v2Models: setting(
    "GIGACHAT_V2_MODELS",
    commaList.default([]),
    "Models that are asked by GigaChat's v2, which knows parallel tool calls and a web search, with commas between; * is all",
  ),
  v2ToolRole: setting(
    "GIGACHAT_V2_TOOL_ROLE",
    z.enum(toolRoles, { error: `must be ${toolRoles.join(", ")}` }).default("auto"),
    "The role of a tool's result in v2: some hosts take tool, others function. auto tries tool first, and remembers what was taken",
  ),
  v2CachedTokens: setting(
    "GIGACHAT_V2_CACHED_TOKENS",
    z.enum(cachedTokens, { error: `must be ${cachedTokens.join(" or ")}` }).default("beside"),
    "Whether v2's input_tokens count tokens from the cache: beside bills all input_tokens, within bills them without the cached ones",
  ),
};

/** The settings of v2 as the provider's methods get them. */
export interface V2Settings {
  readonly v2Models: readonly string[];
  readonly v2ToolRole: typeof toolRoles[number];
  readonly v2CachedTokens: typeof cachedTokens[number];
}

/** Whether a model is asked by v2. */
export function usesV2(model: string, { v2Models }: V2Settings): boolean {
  return v2Models.includes(model) || v2Models.includes("*");
}
