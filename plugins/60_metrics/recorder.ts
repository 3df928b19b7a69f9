/**
 * Turns the end of an exchange into measurements.
 *
 * @module
 */
import type { Exchange, Outcome, Target } from "xrouter/plugin";
import type { Instruments } from "./instruments.ts";
import type { Labels } from "./labels.ts";
import { ModelSeries } from "./model_series.ts";

type Path = Exchange["path"];

/** The operations by the names of OpenTelemetry's conventions. */
const operations = {
  "/v1/chat/completions": "chat",
  "/v1/embeddings": "embeddings",
} as const satisfies Record<Path, string>;

/** Writes what became of exchanges into the instruments. */
export class Recorder {
  readonly #to: Instruments;
  readonly #labels: Labels;
  readonly #currency: string;
  /** By `operation/provider/model`, all of them bounded. */
  readonly #models = new Map<string, ModelSeries>();

  /**
   * @param instruments Where to write.
   * @param labels Bounds what is written.
   * @param currency ISO 4217 code of the accounts.
   */
  constructor(instruments: Instruments, labels: Labels, currency: string) {
    this.#to = instruments;
    this.#labels = labels;
    this.#currency = currency;
  }

  /** Counts one exchange. */
  record(x: Exchange, outcome: Outcome): void {
    const labels = this.#labels;
    const { target } = outcome;
    const error = labels.error(outcome.error);
    this.#to.requests(labels.state(outcome), labels.status(outcome), error)(1);
    for (const attempt of x.attempts) {
      this.#to.attempts(labels.provider(attempt.target), labels.error(attempt.error))(1);
    }
    // What a plugin answered by itself has no target, and uses nothing.
    if (target === undefined) return;
    const series = this.#seriesOf(x.path, target);
    series.recordDuration(outcome.durationMs, error);
    if (outcome.usage !== undefined) series.recordUsage(outcome.usage, outcome.cost);
    // The first chunk of an answer that is not streamed is the whole of it.
    if (outcome.firstChunkMs !== undefined && x.parsedBody?.stream === true) {
      series.recordFirstToken(outcome.firstChunkMs);
    }
  }

  #seriesOf(path: Path, target: Target): ModelSeries {
    const operation = operations[path];
    const known = this.#models.get(`${operation}/${target.provider}/${target.model}`);
    if (known !== undefined) return known;
    const provider = this.#labels.provider(target);
    const model = this.#labels.model(target);
    const id = `${operation}/${provider}/${model}`;
    const series = this.#models.get(id) ??
      new ModelSeries(this.#to, [operation, provider, model], this.#currency);
    this.#models.set(id, series);
    return series;
  }
}
