/**
 * Calls under load: by bytes over connections that stay open, so that whoever measures leaves the
 * processor to what is measured.
 *
 * @module
 */
import { setTimeout as delay } from "node:timers/promises";
import type { BreakPolicy } from "../../core/plugin.ts";
import { EventReader } from "../bench/event_reader.ts";
import { HttpConnection } from "../bench/http_connection.ts";
import { wholeText } from "./answer.ts";
import type { Lab } from "./vendor_call.ts";

/** A call to make. */
export interface LoadCall {
  /** The models, the first choice first. */
  readonly models: readonly [string, ...string[]];
  readonly lab: Lab;
  readonly onBreak?: BreakPolicy;
  /** Pieces of the answer after which the client leaves. */
  readonly leaveAfter?: number;
}

/** What came of it. */
export interface LoadAnswer {
  /** Milliseconds to the last byte. */
  readonly ms: number;
  /** Why it is not the whole answer. */
  readonly problem?: string;
}

/** Milliseconds after which a call is given up. */
const patience = 60_000;

/** What a stream's event has, as far as it is looked at. */
interface Event {
  readonly choices?: readonly {
    readonly delta?: { readonly content?: string };
    readonly finish_reason?: string | null;
  }[];
  readonly usage?: object;
  readonly error?: { readonly message: string };
}

/** Asks one server on 127.0.0.1. */
export class LoadClient implements Disposable {
  readonly #port: number;
  readonly #secret: string;
  readonly #idle: HttpConnection[] = [];
  readonly #encoder = new TextEncoder();
  #streaming = 0;
  /** The most answers that had begun and not ended at a time. */
  mostStreaming = 0;

  /** @param secret A key of the server. */
  constructor(port: number, secret: string) {
    this.#port = port;
    this.#secret = secret;
  }

  /** Makes a call. Never rejects. */
  async ask(call: LoadCall): Promise<LoadAnswer> {
    const started = performance.now();
    const connection = this.#idle.pop() ?? await HttpConnection.open(this.#port);
    const timer = setTimeout(() => connection.close(), patience);
    const reader = new EventReader();
    const data: string[] = [];
    let pieces = 0;
    try {
      const { status } = await connection.exchange(this.#bytesOf(call), (piece) => {
        if (++pieces === 1) this.mostStreaming = Math.max(this.mostStreaming, ++this.#streaming);
        data.push(...reader.push(piece));
        if (pieces === call.leaveAfter) connection.close();
      });
      const ms = performance.now() - started;
      this.#idle.push(connection);
      const problem = status === 200 ? problemOf(data) : `HTTP ${status}`;
      return { ms, ...(problem !== undefined && { problem }) };
    } catch (error) {
      connection.close();
      const ms = performance.now() - started;
      // One that leaves wants no more.
      if (call.leaveAfter !== undefined && pieces >= call.leaveAfter) return { ms };
      return { ms, problem: (error as Error).message };
    } finally {
      clearTimeout(timer);
      if (pieces > 0) this.#streaming--;
    }
  }

  [Symbol.dispose](): void {
    for (const connection of this.#idle) connection.close();
  }

  #bytesOf({ models: [model, ...models], lab, onBreak }: LoadCall): Uint8Array {
    const body = JSON.stringify({
      model,
      ...(models.length > 0 && { models }),
      messages: [{ role: "user", content: "Say the sixty words, please." }],
      stream: true,
      stream_options: { include_usage: true },
      lab,
    });
    const lines = [
      "POST /v1/chat/completions HTTP/1.1",
      `Host: 127.0.0.1:${this.#port}`,
      `Authorization: Bearer ${this.#secret}`,
      "Content-Type: application/json",
      `Content-Length: ${body.length}`,
      ...onBreak === undefined ? [] : [`x-xrouter-on-break: ${onBreak}`],
    ];
    return this.#encoder.encode(`${lines.join("\r\n")}\r\n\r\n${body}`);
  }
}

/** Why the events are not the whole answer. */
function problemOf(data: readonly string[]): string | undefined {
  let text = "";
  let finish: string | undefined;
  let usage = false;
  for (const each of data) {
    if (each === "[DONE]") continue;
    const event = JSON.parse(each) as Event;
    if (event.error !== undefined) return event.error.message;
    text += event.choices?.[0]?.delta?.content ?? "";
    finish = event.choices?.[0]?.finish_reason ?? finish;
    usage ||= event.usage !== undefined && event.usage !== null;
  }
  if (text !== wholeText) return `it has ${text === "" ? 0 : text.split(" ").length} words`;
  if (finish !== "stop") return `it ends with ${finish}`;
  return usage ? undefined : "it has no usage";
}

/**
 * Makes calls at even distances, whether earlier ones have ended or not.
 *
 * @param call Makes the call with this number.
 * @param signal Ends it early.
 * @returns When all have ended.
 */
export async function atRate(
  rate: number,
  seconds: number,
  call: (number: number) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  const running: Promise<void>[] = [];
  const start = performance.now();
  for (let number = 0; number < rate * seconds && !signal?.aborted; number++) {
    const wait = start + number * 1000 / rate - performance.now();
    if (wait > 0) await delay(wait);
    running.push(call(number));
  }
  await Promise.all(running);
}

/** The faults that are mixed in, and how a broken stream is treated. */
const mixed: readonly { readonly model: string; readonly onBreak?: BreakPolicy }[] = [
  { model: "fails-once" },
  { model: "unavailable" },
  { model: "reset-once" },
  { model: "late-token" },
  { model: "breaks-off", onBreak: "continue" },
];

/** The kind of a call: every tenth is a fault, one kind after the other. */
export function kindOf(number: number): typeof mixed[number] {
  return number % 10 === 9 ? mixed[Math.floor(number / 10) % mixed.length]! : { model: "well" };
}
