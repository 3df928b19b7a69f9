/**
 * Which result answers which call, in histories that clients have cut, sorted or joined too.
 *
 * @module
 */
import { type AskedCall, callsIn, isResult, type Message, roleOf } from "./asked_call.ts";

/** The calls of a history and their results. */
export interface Pairs {
  /** By the message they stand in. */
  readonly calls: ReadonlyMap<number, readonly AskedCall[]>;
  /** By the message that answers. */
  readonly answered: ReadonlyMap<number, AskedCall>;
  /** By id, the last call that has it. */
  readonly named: ReadonlyMap<string, AskedCall>;
}

/**
 * Finds the call of each result: by its id, or without one by its name, or without that by its
 * place. One that gives a name may answer a call that has none. Among several calls it is the last
 * message's first that is still open; a result that comes before its call answers it where no other
 * does.
 */
export function pairResults(messages: readonly Message[]): Pairs {
  const calls = new Map<number, AskedCall[]>();
  const answered = new Map<number, AskedCall>();
  const named = new Map<string, AskedCall>();
  for (const [at, message] of messages.entries()) {
    const asked = roleOf(message) === "assistant" ? callsIn(message, at) : [];
    if (asked.length > 0) calls.set(at, asked);
    for (const call of asked) if (call.id !== undefined) named.set(call.id, call);
  }
  const pair = (at: number, call: AskedCall | undefined) => {
    if (call === undefined) return;
    call.result = at;
    answered.set(at, call);
  };
  // What an id says is certain: the others get what it leaves.
  for (const certain of [true, false]) {
    const open = new OpenCalls();
    const results = [...messages.entries()].filter(([, message]) => isResult(message));
    const early: number[] = [];
    let next = 0;
    for (const [at, message] of results) {
      for (; next < at; next++) open.add(calls.get(next) ?? []);
      if (hasId(message) !== certain) continue;
      const call = open.take(keyOf(message)) ?? (certain ? undefined : open.take(nameless));
      if (call === undefined) early.push(at);
      else pair(at, call);
    }
    for (; next < messages.length; next++) open.add(calls.get(next) ?? []);
    if (certain) { for (const at of early) pair(at, open.takeFirst(keyOf(messages[at]!))); }
  }
  return { calls, answered, named };
}

const anyCall = "any";
const nameless = `name ${undefined}`;

/** The older form has no ids. */
function hasId({ role, tool_call_id: id }: Message): boolean {
  return role === "tool" && Boolean(id);
}

function keyOf(message: Message): string {
  const { tool_call_id: id, name } = message;
  return hasId(message) ? `id ${id}` : name ? `name ${name}` : anyCall;
}

/** Calls that have no result yet, by id, by name and together. */
class OpenCalls {
  /** The calls of each message are a group of their own, because ids come again. */
  readonly #groups = new Map<string, AskedCall[][]>();

  add(calls: readonly AskedCall[]): void {
    const keyed = new Map<string, AskedCall[]>();
    for (const call of calls) {
      if (call.result !== undefined) continue;
      for (const key of [`id ${call.id}`, `name ${call.name}`, anyCall]) {
        const group = keyed.get(key);
        if (group === undefined) keyed.set(key, [call]);
        else group.push(call);
      }
    }
    for (const [key, group] of keyed) {
      // They are taken from the end.
      group.reverse();
      const groups = this.#groups.get(key);
      if (groups === undefined) this.#groups.set(key, [group]);
      else groups.push(group);
    }
  }

  /** The first open call of the last group. */
  take(key: string): AskedCall | undefined {
    const groups = this.#groups.get(key) ?? [];
    for (let group = groups.at(-1); group !== undefined; group = groups.at(-1)) {
      const call = takeOpen(group);
      if (call !== undefined) return call;
      groups.pop();
    }
    return undefined;
  }

  /** The first open call of all. */
  takeFirst(key: string): AskedCall | undefined {
    for (const group of this.#groups.get(key) ?? []) {
      const call = takeOpen(group);
      if (call !== undefined) return call;
    }
    return undefined;
  }
}

function takeOpen(group: AskedCall[]): AskedCall | undefined {
  let call = group.pop();
  while (call?.result !== undefined) call = group.pop();
  return call;
}
