/**
 * A streamed answer as a client sees it.
 *
 * @module
 */
import type { ChatReply } from "../../core/chat.ts";

/** All of a stream. */
export interface WholeStream {
  /** The events, without the terminator. */
  readonly events: (ChatReply & { error?: { message: string; code: string } })[];
  /** The contents of the first choice, joined. */
  readonly text: string;
  /** Whether it ended with `[DONE]`, and nothing after it. */
  readonly done: boolean;
}

/** Reads a stream to its end. */
export async function readWholeStream(response: Response): Promise<WholeStream> {
  const data = (await response.text()).split(/\r?\n\r?\n/)
    .filter((event) => event.startsWith("data:"))
    .map((event) => event.slice("data:".length).trim());
  const done = data.at(-1) === "[DONE]";
  const events: WholeStream["events"] = (done ? data.slice(0, -1) : data)
    .map((text) => JSON.parse(text));
  return { events, text: events.map((event) => contentOf(event)).join(""), done };
}

function contentOf({ choices }: ChatReply): string {
  return choices[0]?.delta?.content ?? "";
}
