/**
 * Asks GigaChat with files in a user's message.
 *
 * @module
 */
import { assertRejects } from "@std/assert";
import { RouterError } from "../../core/errors.ts";
import type { FakeGigachat } from "./fake_gigachat.ts";
import { ask, type Connection, type Question } from "./fake_gigachat_call.ts";
import { dataUrl, imagePart, png } from "./files.ts";

/** The content of a message. */
export type Content = Exclude<Question["messages"], undefined>[number]["content"];

/** A user's message. */
export const user = (content: Content) => ({ role: "user", content });

/** Asks with the parts of one user message. */
export function askWith(connection: Connection, ...parts: unknown[]) {
  return ask(connection, { messages: [user(parts as Content)] });
}

/** What the parts of one user message are refused with. */
export async function refusal(connection: Connection, ...parts: unknown[]): Promise<RouterError> {
  return await assertRejects(() => askWith(connection, ...parts), RouterError);
}

/** What the messages of the last chat say, with the files in place of their ids. */
export function said(fake: FakeGigachat): [content: string, ...files: string[]][] {
  return fake.chats.at(-1)!.messages.map(({ content, attachments = [] }) => [
    content,
    ...(attachments as string[]).map((id) =>
      new TextDecoder("latin1").decode(fake.files.stored.get(id)!.bytes.slice(8))
    ),
  ]);
}

/** A picture as a part. */
export const image = (name: string) => imagePart(dataUrl(png(name)));
