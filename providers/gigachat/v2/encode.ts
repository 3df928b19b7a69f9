// deno-lint-ignore-file camelcase -- the names of the wire
/**
 * A request in OpenAI's shape as GigaChat's v2 request: that of v1 in another shape, so that both
 * treat names, schemas, sampling, formats and files alike. What neither names passes through.
 *
 * @module
 */
import type { Call, ChatBody } from "xrouter/provider";
import { callsIn, roleOf } from "../asked_call.ts";
import type { GigachatMessage } from "../assistant_turn.ts";
import { bring } from "../attachments.ts";
import { encode } from "../encode.ts";
import { grantedTo } from "../granted_fields.ts";
import type { WebFiles } from "../web_images.ts";
import { toV2Messages } from "./messages.ts";
import type { V2Settings } from "./settings.ts";
import { toolRoleOf } from "./tool_role.ts";
import { splitTools } from "./tools.ts";

/** Fields of v1 that stand in `model_options`, and those that v2 alone has there. */
const options: ReadonlySet<string> = new Set([
  "max_tokens",
  "preset",
  "reasoning",
  "repetition_penalty",
  "response_format",
  "temperature",
  "top_p",
  "unnormalized_history",
  "update_interval",
]);

/**
 * Translates a request.
 *
 * @param call Says what becomes of fields that GigaChat cannot keep.
 * @param fetched The files that it names by their addresses.
 * @throws {RouterError} `invalid_request` naming the field that GigaChat cannot take or keep.
 */
export async function encodeV2(
  body: ChatBody,
  call: Call<V2Settings & Record<string, unknown>>,
  fetched?: WebFiles,
): Promise<Record<string, unknown>> {
  const { body: rest, builtIn, config } = splitTools(body, call);
  // An answer of v2 has no alternatives.
  const granted = grantedTo(call).filter((field) => field !== "n");
  const {
    messages,
    functions = [],
    function_call: choice,
    reasoning_effort: effort,
    profanity_check: check,
    function_ranker: ranker,
    model_options: given,
    ...fields
  } = await bring(encode(rest, call, granted), call, fetched);
  const encoded: Record<string, unknown> = {};
  const modelOptions: Record<string, unknown> = effort === undefined
    ? {}
    : { reasoning: { effort } };
  for (const [field, value] of Object.entries(fields)) {
    (options.has(field) ? modelOptions : encoded)[field] = value;
  }
  Object.assign(modelOptions, given);
  const specifications = functions as readonly unknown[];
  const tools = specifications.length > 0
    ? [{ functions: { specifications } }, ...builtIn]
    : builtIn;
  // The answer's decoder leaves one call of several.
  if (tools.length > 0 && body.parallel_tool_calls === false) call.changed("parallel_tool_calls");
  const turns = body.messages.filter((message) => roleOf(message) === "assistant")
    .map((message, at) => callsIn(message, at).length).filter((calls) => calls > 0);
  return {
    messages: toV2Messages(
      messages as GigachatMessage[],
      turns,
      () => toolRoleOf(body.model, call),
    ),
    ...(Object.keys(modelOptions).length > 0 && { model_options: modelOptions }),
    ...(tools.length > 0 && { tools, tool_config: config ?? toolConfig(choice) }),
    ...(check !== undefined && { disable_filter: !check }),
    ...(ranker !== undefined && { ranker_options: ranker }),
    // What the client gives in v2's own fields is as it wants it.
    ...encoded,
  };
}

/** v1's choice of a function. */
function toolConfig(choice: unknown): Record<string, unknown> {
  if (choice === undefined || typeof choice === "string") return { mode: choice ?? "auto" };
  const { name, ...rest } = choice as Record<string, unknown>;
  return { ...rest, mode: "forced", function_name: name };
}
