/** Calls the fake GigaChat through the provider, as the kernel does. */
import { callOf } from "./call.ts";
import gigachat from "../../providers/gigachat/mod.ts";
import type { ChatBody, ChatReply } from "../../core/chat.ts";
import { Transport } from "../../core/transport.ts";
import type { QueueLimits } from "../../core/slots.ts";
import type { Upstream } from "../../core/upstream.ts";

/** A transport that closes at the end of its block; with `await`, once files are deleted. */
export interface Connection extends Disposable, AsyncDisposable {
  readonly transport: Transport;
}

/**
 * Connects the provider to a fake.
 *
 * @param env Overrides what the fake would have it set.
 * @param file The provider's section of the configuration file.
 * @param queue How long requests may wait for a free call.
 */
export function connectTo(
  fake: { readonly env: Record<string, string> },
  env: Record<string, string> = {},
  file: Record<string, unknown> = {},
  queue?: QueueLimits,
): Connection {
  const connected = Transport.connect(gigachat, { env: { ...fake.env, ...env }, file }, queue);
  const { transport } = connected;
  if (transport === undefined) throw new Error(JSON.stringify(connected.problems));
  return {
    transport,
    [Symbol.dispose]: () => void transport.close(),
    [Symbol.asyncDispose]: () => transport.close(),
  };
}

/** A request in OpenAI's shape, with a model and a question unless it brings its own. */
export type Question = Partial<ChatBody>;

/** Opens a call. */
export function open(
  { transport }: Connection,
  question: Question = {},
  signal: AbortSignal = new AbortController().signal,
): Promise<Upstream> {
  const { clientHeaders, keyId, headers, cannotKeep, changed } = callOf();
  const body = bodyOf(question);
  return transport.open({ clientHeaders, keyId, headers, cannotKeep, changed, signal, body });
}

/** Asks and waits for the whole answer. */
export async function ask(connection: Connection, question: Question = {}): Promise<ChatReply> {
  return (await readAll(await open(connection, question)))[0]!;
}

/** Asks for a stream and reads it to its end. */
export async function askStream(
  connection: Connection,
  question: Question = {},
): Promise<ChatReply[]> {
  return await readAll(await open(connection, { ...question, stream: true }));
}

/** Every reply of an answer; one that breaks off is cancelled, as the relay does it. */
export async function readAll(upstream: Upstream): Promise<ChatReply[]> {
  const replies: ChatReply[] = [];
  try {
    for (let group = await upstream.read(); group; group = await upstream.read()) {
      for (const chunk of group.chunks) replies.push(chunk.json!);
    }
    await upstream.finish();
  } catch (error) {
    await upstream.cancel();
    throw error;
  }
  return replies;
}

/** The body that a question stands for. */
export function bodyOf(question: Question): ChatBody {
  return {
    model: "GigaChat-2",
    messages: [{ role: "user", content: "Привет" }],
    ...question,
  };
}

/** The text of a streamed answer. */
export function textOf(replies: readonly ChatReply[]): string {
  return replies.map((reply) => reply.choices[0]?.delta?.content ?? "").join("");
}
