/**
 * A user's message with the images, recordings and documents in it.
 *
 * GigaChat takes texts, and files by the id that it gave them. One message takes one image, so that
 * a message with several becomes several.
 *
 * @module
 */
import type { Call, ChatBody } from "xrouter/provider";
import { type Attachment, attachmentOf } from "./attachment.ts";
import type { GigachatMessage } from "./assistant_turn.ts";
import { partText, textOf } from "./content.ts";
import { refuse } from "./fault.ts";

type Message = ChatBody["messages"][number];
type Part = Exclude<NonNullable<Message["content"]>, string>[number];

/**
 * A user's message. Its attachments are to be uploaded yet.
 *
 * @param at The message's place.
 * @throws {RouterError} `invalid_request` naming the part that GigaChat cannot take.
 */
export function encodeUser(message: Message, at: number, call: Call): GigachatMessage[] {
  const path = `messages[${at}].content`;
  const given = Array.isArray(message.attachments) ? message.attachments : undefined;
  if (given?.some((id) => typeof id !== "string")) {
    // Whose file it is was looked up by such ids alone.
    throw refuse(`messages[${at}].attachments`, "must be a list of ids of files");
  }
  const parts = Array.isArray(message.content) ? message.content : [];
  const attachments = parts.map((part, place) => attachmentOf(part, `${path}[${place}]`, call));
  if (attachments.every((each) => each === undefined)) {
    const content = textOf(message.content, path, call);
    return [{ role: "user", content, ...(given && { attachments: given }) }];
  }
  const turns = split(parts, attachments, path, call).map((
    { texts, attachment },
  ): GigachatMessage => ({
    role: "user",
    content: texts.join("\n"),
    attachments: [attachment],
  }));
  if (turns.length > 1) call.changed(path);
  return given === undefined
    ? turns
    : [{ role: "user", content: "", attachments: given }, ...turns];
}

interface Turn {
  texts: string[];
  readonly attachment: Attachment;
}

/**
 * One turn for each attachment, with the text before it; text after the last stands with the last.
 * A question that stands before all of them belongs to all, and so goes with the last as well.
 */
function split(
  parts: readonly Part[],
  attachments: readonly (Attachment | undefined)[],
  path: string,
  call: Call,
): Turn[] {
  const turns: Turn[] = [];
  let texts: string[] = [];
  for (const [place, part] of parts.entries()) {
    const attachment = attachments[place];
    if (attachment === undefined) {
      texts.push(partText(part, `${path}[${place}]`, call));
      continue;
    }
    turns.push({ texts, attachment });
    texts = [];
  }
  const last = turns.at(-1)!;
  last.texts.push(...texts);
  const [first, ...others] = turns;
  if (others.length > 0 && others.every((turn) => turn.texts.length === 0)) {
    last.texts = first!.texts;
    first!.texts = [];
  }
  return turns;
}
