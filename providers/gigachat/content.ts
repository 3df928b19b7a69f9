/**
 * The text of a message's content.
 *
 * @module
 */
import type { ChatBody } from "xrouter/provider";
import { refuse } from "./fault.ts";

/**
 * The text of a content; parts are joined by line feeds.
 *
 * @param path The content's place, for errors: `messages[0].content`.
 * @throws {RouterError} `invalid_request` naming the part that is no text.
 */
export function textOf(
  content: ChatBody["messages"][number]["content"],
  path: string,
): string {
  if (content === undefined || content === null) return "";
  const text = typeof content === "string"
    ? content
    : content.map((part, at) => partText(part, `${path}[${at}]`)).join("\n");
  // Half a surrogate pair is no text in UTF-8, and GigaChat would call the whole request invalid.
  return text.toWellFormed();
}

/**
 * The text of one part.
 *
 * @param path The part's place, for errors: `messages[0].content[1]`.
 * @throws {RouterError} `invalid_request` when it is no text.
 */
export function partText(
  part: { type: string; [field: string]: unknown },
  path: string,
): string {
  const text = part.type === "text"
    ? part.text
    : part.type === "refusal"
    ? part.refusal
    : undefined;
  if (typeof text === "string") return text;
  throw part.type === "text" ? refuse(`${path}.text`, "must be a string") : refuse(
    path,
    `has the type "${part.type}". GigaChat takes parts of type "text", and in user messages also "image_url", "input_audio" and "file"`,
  );
}
