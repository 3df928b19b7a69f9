/**
 * The text of a message's content.
 *
 * @module
 */
import type { Call, ChatBody } from "xrouter/provider";
import { refuse } from "./fault.ts";

/** Told of what is repaired. */
type Told = Pick<Call, "changed">;

/**
 * The text of a content; parts are joined by line feeds.
 *
 * @param path The content's place: `messages[0].content`.
 * @throws {RouterError} `invalid_request` naming the part that is no text.
 */
export function textOf(
  content: ChatBody["messages"][number]["content"],
  path: string,
  call: Told,
): string {
  if (content === undefined || content === null) return "";
  if (typeof content === "string") return wellFormed(content, path, call);
  return content.map((part, at) => partText(part, `${path}[${at}]`, call)).join("\n");
}

/**
 * The text of one part. What stands in a text's place and is none is told as JSON.
 *
 * @param path The part's place: `messages[0].content[1]`.
 * @throws {RouterError} `invalid_request` when its type is none of a text.
 */
export function partText(
  part: { type: string; [field: string]: unknown },
  path: string,
  call: Told,
): string {
  const { type } = part;
  if (type !== "text" && type !== "refusal") {
    throw refuse(
      path,
      `has the type "${type}". GigaChat takes parts of type "text", and in user messages also "image_url", "input_audio" and "file"`,
    );
  }
  const said = part[type];
  if (typeof said === "string") return wellFormed(said, `${path}.${type}`, call);
  call.changed(`${path}.${type}`);
  return said === undefined || said === null ? "" : JSON.stringify(said);
}

/** Half a surrogate pair is no text in UTF-8, and GigaChat would call the whole request invalid. */
export function wellFormed(text: string, path: string, call: Told): string {
  if (text.isWellFormed()) return text;
  call.changed(path);
  return text.toWellFormed();
}
