/**
 * The price book: which price of a model is in force, now or at another time.
 *
 * Prices come from three sources. One that is set by command wins over the configuration file's, and
 * that over the provider's own; while a stronger source has no price in force, the next one's holds.
 * What the files declare is known from the start; what is set by command is read from the database,
 * also while the program runs.
 *
 * @module
 */
import type { Log } from "../log.ts";
import { isSamePrice, type Price } from "./price.ts";
import { type Step, stepAt, type Tariff } from "./tariff.ts";

/** Who says what a model costs, the strongest first. */
export const priceSources = ["command", "file", "provider"] as const;

/** Who says what a model costs. */
export type PriceSource = typeof priceSources[number];

/** What one source says of one model. */
export interface SourceTariff {
  /** The provider's name. */
  readonly provider: string;
  /** The model's id as the vendor spells it. */
  readonly model: string;
  /** Who says it. */
  readonly source: PriceSource;
  /** What it says. */
  readonly tariff: Tariff;
}

/** A step of what is in force, all sources taken together. */
export interface PriceStep extends Step {
  /** Who says it; absent where nobody has a price. */
  readonly source: PriceSource | undefined;
}

/** What is known of one model's price. */
interface Entry {
  readonly tariffs: Partial<Record<PriceSource, Tariff>>;
  steps: readonly PriceStep[];
}

interface Followed {
  read: () => Promise<readonly SourceTariff[]>;
  log: Log;
}

/** Milliseconds for which what was read is taken as it is. */
const fresh = 900;

/** Milliseconds after which it is not used without being read again; in between both are done. */
const stale = 1_800;

/** Knows the price in force of every model that has one. */
export class PriceBook {
  #declared: readonly SourceTariff[] = [];
  /** By provider and model. */
  readonly #entries = new Map<string, Map<string, Entry>>();
  /** Those with prices that are set by command. */
  #set: readonly Entry[] = [];
  #followed: Followed | undefined;
  #reading: Promise<void> | undefined;
  /** By `performance.now()`: when a reading began, and when the last one that succeeded did. */
  #askedAt = 0;
  #readAt = 0;
  #failing = false;

  /** @param declared What the configuration file and the providers' files say. */
  constructor(declared: readonly SourceTariff[]) {
    this.declare(declared);
  }

  /** What the files say. */
  get declared(): readonly SourceTariff[] {
    return this.#declared;
  }

  /** Takes over all that the files say, in place of what they said before. */
  declare(declared: readonly SourceTariff[]): void {
    const before = this.#declared.map(({ provider, model }) =>
      this.#entries.get(provider)!.get(model)!
    );
    for (const { tariffs } of before) {
      delete tariffs.file;
      delete tariffs.provider;
    }
    this.#declared = declared;
    this.#merge([...before, ...declared.map((each) => this.#enter(each))]);
  }

  /**
   * The price in force at a time.
   *
   * @param now Milliseconds since 1970.
   */
  at(provider: string, model: string, now: number): Price | undefined {
    void this.refresh();
    return stepAt(this.steps(provider, model), now)?.price;
  }

  /** What is in force in order of time: what was, what is, and what is known to come. */
  steps(provider: string, model: string): readonly PriceStep[] {
    return this.#entries.get(provider)?.get(model)?.steps ?? none;
  }

  /** Every model of which a price was, is or will be in force. */
  models(): { provider: string; model: string }[] {
    return [...this.#entries].flatMap(([provider, models]) =>
      [...models].filter(([, { steps }]) => steps.length > 0)
        .map(([model]) => ({ provider, model }))
    );
  }

  /** Takes over all that is set by command, in place of what was before. */
  take(set: readonly SourceTariff[]): void {
    const before = this.#set;
    for (const { tariffs } of before) delete tariffs.command;
    this.#set = set.map((each) => this.#enter(each));
    this.#merge([...before, ...this.#set]);
  }

  /**
   * From now on, keeps up with what is set by command.
   *
   * @param read Reads it all.
   * @param log Told when reading fails, once until it succeeds again. Meanwhile the last known holds.
   * @throws What the first reading rejects with.
   */
  async follow(read: () => Promise<readonly SourceTariff[]>, log: Log): Promise<void> {
    this.#readAt = this.#askedAt = performance.now();
    this.take(await read());
    this.#followed = { read, log };
  }

  /**
   * Reads again what is set by command, unless that was done within the last second.
   *
   * @returns What to wait for before a price is used, where what is known is too old: after a pause
   * without requests. Never rejects.
   */
  refresh(): Promise<void> | undefined {
    if (this.#followed === undefined) return undefined;
    const now = performance.now();
    if (this.#reading === undefined && now - this.#askedAt >= fresh) {
      this.#askedAt = now;
      this.#reading = this.#read(this.#followed).finally(() => this.#reading = undefined);
    }
    return now - this.#readAt >= stale ? this.#reading : undefined;
  }

  /** Reads no more; what is known stays. */
  async close(): Promise<void> {
    this.#followed = undefined;
    await this.#reading;
  }

  async #read({ read, log }: Followed): Promise<void> {
    try {
      this.take(await read());
      this.#readAt = this.#askedAt;
      this.#failing = false;
    } catch (error) {
      if (!this.#failing) {
        log.error("prices cannot be read; the last known ones hold, and it is tried again", {
          error: String(error),
        });
      }
      this.#failing = true;
    }
  }

  /** Notes what a source says of a model. */
  #enter({ provider, model, source, tariff }: SourceTariff): Entry {
    const models = this.#entries.get(provider) ?? new Map<string, Entry>();
    this.#entries.set(provider, models);
    const entry = models.get(model) ?? { tariffs: {}, steps: none };
    models.set(model, entry);
    entry.tariffs[source] = tariff;
    return entry;
  }

  #merge(entries: readonly Entry[]): void {
    for (const entry of entries) entry.steps = merge(entry.tariffs);
  }
}

const none: readonly PriceStep[] = [];

/** One list of steps from those of several sources. */
function merge(tariffs: Entry["tariffs"]): PriceStep[] {
  const moments = new Set(Object.values(tariffs).flat().map(({ from }) => from));
  const steps = [...moments].sort((a, b) => a - b).map((from): PriceStep => {
    for (const source of priceSources) {
      const price = stepAt(tariffs[source] ?? [], from)?.price;
      if (price !== undefined) return { from, price, source };
    }
    return { from, price: undefined, source: undefined };
  });
  return steps.filter(({ price, source }, i) =>
    source !== steps[i - 1]?.source || !isSamePrice(price, steps[i - 1]?.price)
  );
}
