/**
 * What a vendor does, by the name of the model that it is asked for.
 *
 * @module
 */
import { type Answer, done } from "./answer.ts";
import { extraScripts } from "./extra_scripts.ts";
import type { VendorCall } from "./vendor_call.ts";

/** Answers one call. */
export type Script = (call: VendorCall, answer: Answer) => Promise<void>;

/** Answers as a vendor should; from the words on that the request's last message ends with. */
export async function answerWell(call: VendorCall, answer: Answer): Promise<void> {
  if (call.body.stream !== true) return await call.whole(200, answer.whole());
  const last = call.body.messages.at(-1)!;
  const said = last.role === "assistant" ? last.content.trim().split(/\s+/).length : 0;
  await call.begin();
  await call.events(...answer.events(said));
  await call.end();
}

/** The first words of a stream. */
export async function beginWords(call: VendorCall, answer: Answer, count: number): Promise<void> {
  await call.begin();
  await call.events(answer.role, ...answer.wordsOf(0, count));
}

function unavailable(call: VendorCall): Promise<void> {
  return call.refuse(503, "unavailable", "The lab is down");
}

async function breakOff(call: VendorCall, answer: Answer): Promise<void> {
  if (call.body.stream === true) {
    await beginWords(call, answer, 40);
    await call.settle();
  }
  call.socket.close();
}

async function refusePrefill(call: VendorCall, answer: Answer): Promise<void> {
  if (call.body.messages.at(-1)!.role !== "assistant") return await answerWell(call, answer);
  await call.refuse(400, "invalid_request_error", "This model does not support prefill");
}

/** Every model of the lab. */
export const scripts: Readonly<Record<string, Script>> = {
  well: answerWell,
  /** 50 milliseconds before each word. */
  async slow(call, answer) {
    await call.begin();
    await call.events(answer.role);
    for (const word of answer.wordsOf(0)) {
      if (!await call.pause(50)) return;
      await call.events(word);
    }
    await call.events(answer.finish, answer.usage, done);
    await call.end();
  },
  "no-prefill": refusePrefill,
  "false-prefill": refusePrefill,
  async "busy-once"(call, answer) {
    if (call.number > 1) return await answerWell(call, answer);
    const seconds = `${call.paced(2_000) / 1_000}`;
    await call.refuse(429, "rate_limit_exceeded", "Slow down", { "retry-after": seconds });
  },
  busy: (call) => call.refuse(429, "rate_limit_exceeded", "Slow down"),
  async "fails-once"(call, answer) {
    if (call.number > 1) return await answerWell(call, answer);
    await call.refuse(500, "server_error", "The lab failed");
  },
  unavailable,
  async "reset-once"(call, answer) {
    if (call.number > 1) return await answerWell(call, answer);
    call.socket.reset();
  },
  async silent(call) {
    await call.pause(120_000);
    call.socket.close();
  },
  async "late-token"(call, answer) {
    await call.begin();
    if (!await call.pause(20_000)) return;
    await call.events(...answer.events());
    await call.end();
  },
  "breaks-off": breakOff,
  async stalls(call, answer) {
    await beginWords(call, answer, 20);
    await call.pause(30_000);
    call.socket.close();
  },
  async "bad-event"(call, answer) {
    const events = answer.events();
    events.splice(9, 0, 'data: {"id":"chatcmpl-lab","choi\n\n');
    await call.begin();
    await call.events(...events);
    await call.end();
  },
  async "no-done"(call, answer) {
    await call.begin();
    await call.events(...answer.events().slice(0, -1));
    await call.end();
  },
  "small-context": (call) =>
    call.refuse(
      400,
      "context_length_exceeded",
      "This model's maximum context length is 16 tokens. Please reduce the length of the messages",
    ),
  "refuses-content": (call) =>
    call.refuse(400, "content_policy_violation", "The lab's policy forbids this"),
  async flapping(call, answer) {
    if (call.sinceFirst < call.paced(60_000)) return await unavailable(call);
    await answerWell(call, answer);
  },
  ...extraScripts,
};
