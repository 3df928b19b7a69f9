/**
 * All providers and models under observation.
 *
 * @module
 */
import type { Catalog, Exchange, Outcome, Target } from "xrouter/plugin";
import type { CircuitChange } from "../../core/circuits.ts";
import type { Transport } from "../../core/transport.ts";
import type { StatusRow } from "./history.ts";
import { Probe } from "./probe.ts";
import { resultOf } from "./result.ts";
import { judge, type Status, type Thresholds } from "./status.ts";
import { Subject } from "./subject.ts";

/**
 * The most models of a provider that are observed beside those that the configuration names, and the
 * longest name of one: clients write names as they like, and some vendors answer to any.
 */
const mostModels = 100;
const longestModel = 128;

/** One provider. */
export interface ObservedProvider {
  /** The provider as a whole. */
  readonly whole: Subject;
  /** Its models that had traffic, by their ids. */
  readonly models: ReadonlyMap<string, Subject>;
  /** Its probes, if it has any. */
  readonly probe: Probe | undefined;
}

interface Observed extends ObservedProvider {
  readonly models: Map<string, Subject>;
  /** The way to it. */
  readonly transport: Transport;
  /** How many of the models the configuration does not name. */
  unlisted: number;
  /** When the last try ended that tells something, by `performance.now()`. */
  busyTick: number;
}

/** What the board needs to know. */
export interface BoardOptions extends Thresholds {
  readonly catalog: Catalog;
  /** Milliseconds that counts cover. */
  readonly windowMs: number;
  /** Milliseconds without traffic after which a provider is probed; 0 for never. */
  readonly probeMs: number;
  /** Takes rows of the history. */
  readonly write: (row: StatusRow) => void;
}

/** Observes tries and probes. */
export class StatusBoard {
  readonly #o: BoardOptions;
  /** The configured providers, in the order of their names. */
  #providers = new Map<string, Observed>();
  /** What they were made of: the catalog's map is another one after every change. */
  #followed: Catalog["providers"] | undefined;

  /** @param options What is observed, and how it is judged. */
  constructor(options: BoardOptions) {
    this.#o = options;
    this.#follow();
  }

  /** Keeps up with the catalog. What was counted of a provider that changes stays. */
  #follow(): void {
    const { catalog: { providers }, probeMs, windowMs, write } = this.#o;
    if (providers === this.#followed) return;
    this.#followed = providers;
    const before = this.#providers;
    this.#providers = new Map();
    for (const [provider, transport] of providers) {
      if (transport.missing !== undefined) continue;
      const known = before.get(provider);
      if (known?.transport === transport) {
        this.#providers.set(provider, known);
        continue;
      }
      const hasProbe = probeMs > 0 && !transport.local;
      this.#providers.set(provider, {
        whole: new Subject({ provider, model: null }, windowMs, write),
        models: new Map(),
        unlisted: 0,
        busyTick: -Infinity,
        ...known,
        transport,
        probe: hasProbe ? new Probe(transport, probeMs) : undefined,
      });
    }
    for (const [provider, known] of before) {
      if (this.#providers.get(provider) !== known) void known.probe?.close();
    }
  }

  /** The configured providers, judged now. */
  observe(): Iterable<ObservedProvider> {
    this.#judge();
    return this.#providers.values();
  }

  /** Counts every try of an exchange. */
  record(x: Exchange, outcome: Outcome): void {
    this.#follow();
    for (const attempt of x.attempts) {
      const left = outcome.state === "aborted" && attempt === x.attempts.at(-1);
      const result = resultOf(attempt, left);
      const observed = this.#providers.get(attempt.target.provider);
      if (result === undefined || observed === undefined) continue;
      const { startedTick, firstChunkMs, durationMs, body, error } = attempt;
      const ended = startedTick! + durationMs!;
      const answered = result === "answered";
      const counted = [
        ended,
        answered ? undefined : result,
        body.stream === true ? firstChunkMs : undefined,
        answered ? durationMs : undefined,
      ] as const;
      observed.busyTick = Math.max(observed.busyTick, ended);
      if (answered) observed.probe?.answered();
      const model = this.#modelOf(observed, attempt.target, answered);
      observed.whole.record(...counted);
      model?.record(...counted);
      if (result === "answered") continue;
      const at = Date.now() - (performance.now() - ended);
      observed.whole.failed(error!, result, at);
      model?.failed(error!, result, at);
    }
  }

  /** Enters a circuit that opened or closed into the history, where the model is observed. */
  circuitChanged({ provider, account, model, state }: CircuitChange): void {
    const observed = this.#providers.get(provider);
    if (observed === undefined) return;
    this.#modelOf(observed, this.#o.catalog.target(provider, model), false)
      ?.circuitChanged(account, state);
  }

  /** Looks at the clock: once a second. */
  tick(): void {
    this.#judge();
    const now = performance.now();
    for (const { probe, whole, busyTick } of this.#providers.values()) {
      probe?.ask(now, busyTick, ({ error, at }) => {
        if (error !== undefined) whole.failed(error, error.code, at);
        this.#judge();
      });
    }
  }

  /** Enters how everything that had traffic does into the history: once a minute. */
  snapshot(): void {
    this.#judge();
    for (const { whole, models } of this.#providers.values()) {
      whole.snapshot();
      for (const model of models.values()) model.snapshot();
    }
  }

  /** Ends the probes. */
  async close(): Promise<void> {
    await Promise.all(this.#providers.values().map(({ probe }) => probe?.close()));
  }

  #judge(): void {
    this.#follow();
    const now = performance.now();
    for (const observed of this.#providers.values()) {
      const { whole, models, probe } = observed;
      const lastProbe = isLast(observed) ? probe!.result : undefined;
      whole.window.slideTo(now);
      whole.take(this.#statusOf(observed), lastProbe?.ms);
      for (const [id, model] of models) {
        const { attempts } = model.window.slideTo(now);
        const kept = attempts === 0 ? "unknown" : model.status;
        model.take(judge(model.window, model.status, this.#o) ?? kept, undefined);
        if (attempts > 0 || this.#o.catalog.isListed({ ...whole, model: id, facts: {} })) continue;
        models.delete(id);
        observed.unlisted--;
      }
    }
  }

  /** What traffic and probes tell together: much traffic more than a probe, but for a dead provider. */
  #statusOf(observed: Observed): Status {
    const { whole: { window, status }, probe } = observed;
    const byTraffic = judge(window, status, this.#o);
    const byProbe = isLast(observed) ? probe!.verdict : undefined;
    if (byProbe === "down") return byProbe;
    if (window.attempts >= this.#o.minAttempts) return byTraffic!;
    if (byProbe !== undefined) return byProbe;
    // A probe that failed once is asked again before it says anything.
    const kept = window.attempts > 0 || isLast(observed) ? status : "unknown";
    return byTraffic ?? kept;
  }

  /** The model's own counts, if it has any: one that nobody has named, and that failed, gets none. */
  #modelOf(observed: Observed, target: Target, answered: boolean): Subject | undefined {
    const { provider, model } = target;
    const known = observed.models.get(model);
    if (known !== undefined) return known;
    if (!this.#o.catalog.isListed(target)) {
      if (!answered || model.length > longestModel || observed.unlisted >= mostModels) return;
      observed.unlisted++;
    }
    const { catalog } = this.#o;
    const circuit = () => catalog.providers.get(provider)?.circuit(model).state ?? null;
    const subject = new Subject({ provider, model }, this.#o.windowMs, this.#o.write, circuit);
    observed.models.set(model, subject);
    return subject;
  }
}

/** Whether a probe has told something since the last try. */
function isLast({ probe, busyTick }: Observed): boolean {
  return probe?.result !== undefined && probe.lastTick > busyTick &&
    (probe.result.ok || probe.result.error !== undefined);
}
