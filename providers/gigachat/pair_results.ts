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
  const results = [...messages.entries()].filter(([, message]) => isResult(message));
  // What an id says is certain: the others get what it leaves.
  const byId = new OpenCalls(calls, ({ id }) => [String(id)]);
  const early: number[] = [];
  for (const [at, message] of results) {
    const id = idOf(message);
    if (id === undefined) continue;
    const call = byId.takeBefore(at, id);
    if (call === undefined) early.push(at);
    else pair(at, call);
  }
  for (const at of early) pair(at, byId.takeFirst(idOf(messages[at]!)!));
  const byName = new OpenCalls(calls, ({ name }) => [nameKey(name), anyCall]);
  for (const [at, message] of results) {
    if (idOf(message) !== undefined) continue;
    const key = message.name ? nameKey(message.name) : anyCall;
    pair(at, byName.takeBefore(at, key) ?? byName.takeBefore(at, nameKey(undefined)));
  }
  return { calls, answered, named };
}

const anyCall = "any";

function nameKey(name: string | undefined): string {
  return `name ${name}`;
}

/** The older form has no ids. */
function idOf({ role, tool_call_id: id }: Message): string | undefined {
  return role === "tool" && id ? id : undefined;
}

/** Calls that have no result yet, by what a result may say of them. */
class OpenCalls {
  readonly #turns: readonly (readonly [at: number, calls: readonly AskedCall[]])[];
  /** The first one of them that was not looked at yet. */
  #next = 0;
  readonly #keysOf: (call: AskedCall) => readonly string[];
  /** The calls of each message are a group of their own, because ids come again. */
  readonly #groups = new Map<string, AskedCall[][]>();

  /** @param turns By the message they stand in, the first one first. */
  constructor(
    turns: ReadonlyMap<number, readonly AskedCall[]>,
    keysOf: (call: AskedCall) => readonly string[],
  ) {
    this.#turns = [...turns];
    this.#keysOf = keysOf;
  }

  /** The first open call of the last group before a message. */
  takeBefore(at: number, key: string): AskedCall | undefined {
    this.#addBefore(at);
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
    this.#addBefore(Infinity);
    for (const group of this.#groups.get(key) ?? []) {
      const call = takeOpen(group);
      if (call !== undefined) return call;
    }
    return undefined;
  }

  #addBefore(at: number): void {
    for (; this.#next < this.#turns.length; this.#next++) {
      const [place, calls] = this.#turns[this.#next]!;
      if (place >= at) return;
      // They are taken from the end.
      for (const call of calls.toReversed()) if (call.result === undefined) this.#add(call);
    }
  }

  #add(call: AskedCall): void {
    for (const key of this.#keysOf(call)) {
      const groups = this.#groups.get(key);
      const group = groups?.at(-1);
      if (groups === undefined) this.#groups.set(key, [[call]]);
      else if (group?.at(-1)?.at === call.at) group.push(call);
      else groups.push([call]);
    }
  }
}

function takeOpen(group: AskedCall[]): AskedCall | undefined {
  let call = group.pop();
  while (call?.result !== undefined) call = group.pop();
  return call;
}
