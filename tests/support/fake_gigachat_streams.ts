/** How many chats each of the fake GigaChat's accounts runs. */
import type { FakeAccount } from "./fake_gigachat_oauth.ts";

/** Counts the chats that run. */
export class FakeStreams {
  /** For how many calls a chat that has ended is still counted as running. */
  lateRefusals = 0;
  /** The most that ran at a time, of any account. */
  most = 0;
  readonly #running = new Map<FakeAccount, number>();
  readonly #late = new Map<FakeAccount, number>();

  /** @returns Whether the account may run one more, which then runs. */
  begin(account: FakeAccount, limit: number): boolean {
    const late = this.#late.get(account) ?? 0;
    if (late > 0) this.#late.set(account, late - 1);
    const running = this.#running.get(account) ?? 0;
    if (late > 0 || running >= limit) return false;
    this.#running.set(account, running + 1);
    this.most = Math.max(this.most, running + 1);
    return true;
  }

  /** A chat has ended. */
  end(account: FakeAccount): void {
    this.#running.set(account, this.#running.get(account)! - 1);
    this.#late.set(account, this.lateRefusals);
  }
}

/** What the fake GigaChat keeps of each session's prompts. */
export class FakeCache {
  readonly #prompts = new Map<string, string>();

  /** @returns The characters of a prompt that its session has heard before. */
  reuse(session: string, prompt: string): number {
    const before = this.#prompts.get(session) ?? "";
    this.#prompts.set(session, prompt);
    let same = 0;
    while (same < before.length && before[same] === prompt[same]) same++;
    return same;
  }
}
