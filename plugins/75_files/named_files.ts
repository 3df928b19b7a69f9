/**
 * The files that a chat request names by their ids.
 *
 * @module
 */
import type { ChatBody } from "xrouter/plugin";

/** More files than these no request has. */
export const mostNamed = 100;

/** The ids that a request names, each with the field that names it first: at most one over 100. */
export function namedFiles({ messages }: ChatBody): Map<string, string> {
  const named = new Map<string, string>();
  const name = (id: unknown, path: string) => {
    if (typeof id === "string" && !named.has(id) && named.size <= mostNamed) named.set(id, path);
  };
  for (const [at, { content, attachments }] of messages.entries()) {
    // GigaChat's own field.
    if (Array.isArray(attachments)) {
      attachments.forEach((id, place) => name(id, `messages[${at}].attachments[${place}]`));
    }
    if (!Array.isArray(content)) continue;
    for (const [place, part] of content.entries()) {
      const { file_id: id } = (part.file ?? {}) as { file_id?: unknown };
      name(id, `messages[${at}].content[${place}].file.file_id`);
    }
  }
  return named;
}
