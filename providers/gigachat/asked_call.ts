/**
 * A call of a function in a history, read also where it is broken.
 *
 * @module
 */
import type { ChatBody } from "xrouter/provider";

/** A message in OpenAI's shape. */
export type Message = ChatBody["messages"][number];

/** A call in a history. */
export interface AskedCall extends AskedFunction {
  /** The message it stands in. */
  readonly at: number;
  /** Its field: `messages[1].tool_calls[0]`. */
  readonly path: string;
  /** Its id, empty where the client has lost it; the older `function_call` has none. */
  readonly id: string | undefined;
  /** The field that says what is called: `messages[1].tool_calls[0].function`. */
  readonly place: string;
  /** The message that answers it. */
  result?: number;
}

interface AskedFunction {
  /** The function's name; a broken call may have none. */
  readonly name: string | undefined;
  /** The function's arguments, as they stand there. */
  readonly given: unknown;
}

type Fields = Readonly<Record<string, unknown>>;

const roles: ReadonlySet<string> = new Set([
  "system",
  "developer",
  "user",
  "assistant",
  "tool",
  "function",
]);

/** Whether a message is a result. */
export function isResult({ role }: Message): boolean {
  return role === "tool" || role === "function";
}

/**
 * The role that a message is treated by. One that OpenAI does not know is the assistant's where it
 * calls functions, otherwise the user's, whose words bind least.
 */
export function roleOf(message: Message): string {
  if (roles.has(message.role)) return message.role;
  return callsIn(message, 0).length > 0 ? "assistant" : "user";
}

/**
 * The calls that a message holds, whatever its role.
 *
 * @param at The message's place.
 */
export function callsIn(
  { tool_calls: calls, function_call: older }: Message,
  at: number,
): AskedCall[] {
  if (calls?.length) {
    return calls.map((call, number) => {
      const path = `messages[${at}].tool_calls[${number}]`;
      return { at, path, id: call.id ?? "", ...read(call, path) };
    });
  }
  if (!older) return [];
  const path = `messages[${at}].function_call`;
  return [{ at, path, id: undefined, place: path, ...functionIn(older) }];
}

/** A custom tool takes a text instead of arguments. Some clients leave `function` out. */
function read(
  { function: usual, custom, name, arguments: given }: Fields,
  path: string,
): AskedFunction & Pick<AskedCall, "place"> {
  if (!usual && custom) {
    const { input, ...rest } = fieldsOf(custom);
    return { place: `${path}.custom`, ...functionIn({ ...rest, arguments: input }) };
  }
  return !usual && (name ?? given) !== undefined
    ? { place: path, ...functionIn({ name, arguments: given }) }
    : { place: `${path}.function`, ...functionIn(usual) };
}

function functionIn(usual: unknown): AskedFunction {
  const { name, arguments: given } = fieldsOf(usual);
  return { name: typeof name === "string" && name !== "" ? name : undefined, given };
}

/** What is no object is all that a call says. */
function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? value as Fields
    : { arguments: value, input: value };
}
