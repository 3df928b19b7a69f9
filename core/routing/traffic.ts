/**
 * What goes on at each target now: how many tries are under way, and how long their first token takes.
 *
 * @module
 */
import type { Target } from "../model.ts";

/** How much of the estimate each new time replaces: the last ten or so decide. */
const share = 0.2;

/** Targets that are remembered: clients name as many models as they like. */
const remembered = 1_024;

/** What goes on at one target. */
export interface TargetTraffic {
  /** Tries under way. */
  readonly running: number;
  /** Milliseconds to the first token, a moving estimate; absent before there was one. */
  readonly firstTokenMs?: number;
}

interface Counts {
  running: number;
  firstTokenMs?: number;
}

const none: TargetTraffic = { running: 0 };

/** What goes on at the targets, as far as this process knows. */
export class Traffic {
  readonly #targets = new Map<string, Counts>();

  /** What goes on at a target. */
  of({ provider, model }: Target): TargetTraffic {
    return this.#targets.get(`${provider}/${model}`) ?? none;
  }

  /** A try begins. @returns Ends it; further calls do nothing. */
  begin(target: Target): () => void {
    const counts = this.#countsOf(target);
    counts.running++;
    let ended = false;
    return () => {
      if (!ended) counts.running--;
      ended = true;
    };
  }

  /** Takes a time to the first token, in milliseconds. */
  note(target: Target, ms: number): void {
    const counts = this.#countsOf(target);
    const { firstTokenMs = ms } = counts;
    counts.firstTokenMs = firstTokenMs + (ms - firstTokenMs) * share;
  }

  #countsOf({ provider, model }: Target): Counts {
    const id = `${provider}/${model}`;
    const known = this.#targets.get(id);
    if (known !== undefined) return known;
    if (this.#targets.size >= remembered) this.#forgetOne();
    const counts: Counts = { running: 0 };
    this.#targets.set(id, counts);
    return counts;
  }

  /** Forgets the one that came first of those that are idle. */
  #forgetOne(): void {
    for (const [id, { running }] of this.#targets) {
      if (running === 0) return void this.#targets.delete(id);
    }
  }
}
