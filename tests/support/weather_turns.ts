/**
 * A fake GigaChat model that asks for the weather of some cities for some turns before it answers, and
 * one that stops in the middle of its answer.
 *
 * @module
 */
import type { FakeReply } from "./fake_gigachat_answer.ts";
import type { FakeChat } from "./fake_gigachat_rules.ts";
import type { FakeReplyV2 } from "./fake_gigachat_v2.ts";
import type { FakeChatV2 } from "./fake_gigachat_v2_rules.ts";

/** The cities, all of which v2 asks for in one turn. */
export const cities: readonly string[] = ["Москва", "Тверь", "Пермь"];

/** What the model says at the end. */
export const forecast = "Везде тепло.";

/** v1: one call a turn, of each city in its turn. */
export function callOneByOne(turns: number): (chat: FakeChat) => FakeReply {
  return ({ messages, functions }) => {
    const turn = messages.filter(({ role }) => role === "function").length;
    if (turn === turns) return { content: forecast };
    const city = cities[turn % cities.length]!;
    const stateId = crypto.randomUUID();
    return { functionCall: { name: functions![0]!.name, arguments: { city }, stateId } };
  };
}

/** v2: calls for all cities in each turn. */
export function callTogether(turns: number): (chat: FakeChatV2) => FakeReplyV2 {
  return ({ messages, tools }) => {
    const turn = messages.filter(({ content }) => content.some((part) => part.function_call));
    if (turn.length === turns) return { content: forecast };
    const [specification] = tools!.find(({ functions }) => functions)!.functions!.specifications;
    const name = String(specification!.name);
    return {
      calls: cities.map((city) => ({ name, arguments: { city } })),
      stateId: crypto.randomUUID(),
    };
  };
}

/** An answer that has said one word, and waits to be finished or broken off. */
export interface Unfinished {
  readonly content: AsyncIterable<string>;
  finish(): void;
  breakOff(): void;
}

/** Begins an answer that ends as the test wants, when it wants. */
export function unfinished(word: string): Unfinished {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  async function* words() {
    yield word;
    await promise;
  }
  return {
    content: words(),
    finish: resolve,
    breakOff: () => reject(new Error("The fake breaks the stream")),
  };
}
