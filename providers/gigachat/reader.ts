// deno-lint-ignore-file camelcase -- the names of the wire
/**
 * The function by which GigaChat's models read documents. It is v1's: v2 has none.
 *
 * @module
 */
import type { Call, ChatBody } from "xrouter/provider";
import type { Encoded } from "./attachments.ts";
import { knownKind, lookUpKind } from "./file_kinds.ts";
import { usesOlderFunctions } from "./function_names.ts";

const reader = "get_file_content";

/**
 * Allows the models to read the documents of a request. Where the client wants no function called,
 * the reader is the only one.
 *
 * @param encoded The request of v1, with its files uploaded.
 * @param body The request in OpenAI's shape.
 * @throws {RouterError} By policy for a choice of one function: GigaChat would call that unread.
 */
export async function letRead(encoded: Encoded, body: ChatBody, call: Call): Promise<Encoded> {
  const { functions = [], function_call: choice } = encoded;
  if (named(choice) === reader || !(await hasDocument(encoded, call))) return encoded;
  const field = usesOlderFunctions(body) ? "function_call" : "tool_choice";
  const isForbidden = body[field] === "none";
  if (isForbidden) call.changed(field);
  else if (named(choice) !== undefined) {
    call.cannotKeep(
      field,
      'cannot call for a function beside a document, which GigaChat reads by one of its own. Use "auto"',
    );
  }
  const others = isForbidden ? [] : functions.filter(({ name }) => name !== reader);
  return {
    ...encoded,
    function_call: "auto",
    // GigaChat has its own functions by itself where a request lists none.
    ...((isForbidden || others.length > 0) && { functions: [...others, { name: reader }] }),
  };
}

/** Of a file that nobody knows GigaChat is asked only where more than an "auto" depends on it. */
async function hasDocument(encoded: Encoded, call: Call): Promise<boolean> {
  const { messages, functions, function_call: choice } = encoded;
  const isFree = functions === undefined && choice === undefined;
  const ids = messages.flatMap(({ attachments }) => (attachments ?? []) as string[]);
  const kinds = await Promise.all(
    ids.map((id) => knownKind(id, call) ?? (isFree ? "document" : lookUpKind(id, call))),
  );
  return kinds.includes("document");
}

function named(choice: unknown): unknown {
  return (choice as { name?: unknown } | undefined)?.name;
}
