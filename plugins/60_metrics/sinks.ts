/**
 * The two places that measurements go to, Prometheus and OpenTelemetry, as one.
 *
 * @module
 */
import { type Attributes, type Meter, metrics, type ObservableCallback } from "@opentelemetry/api";
import { Counter, Gauge, Histogram, type Registry } from "prom-client";

/** What an instrument is called and what it means. */
export interface Declaration {
  /** Its name in OpenTelemetry; Prometheus' name is made from it. */
  readonly name: string;
  /** `s`, a counted thing in braces, or a word that is printed as it is. */
  readonly unit: string;
  /** One sentence for people, without its period. */
  readonly description: string;
}

/** A declaration with the names of its labels, as OpenTelemetry writes them. */
export interface Labelled<Names extends readonly string[]> extends Declaration {
  /** In the order in which their values are given. */
  readonly labels: Names;
}

/** A label's value; `undefined` leaves the label out. */
export type LabelValue = string | number | undefined;

/** Writes one value; what is not finite or is negative is dropped. */
export type Write = (value: number) => void;

/** Finds the series with these labels. */
export type Instrument<Names extends readonly string[]> = (
  ...labels: { [Position in keyof Names]: LabelValue }
) => Write;

/** A level of one series. */
export interface LevelOf<Names extends readonly string[]> {
  /** In the order of the labels' names. */
  readonly labels: { [Position in keyof Names]: LabelValue };
  readonly value: number;
}

/** Opens instruments that write to a Prometheus registry and to OpenTelemetry's global meter. */
export class Sinks {
  readonly #registry: Registry;
  readonly #meter: Meter;
  readonly #closers: (() => void)[] = [];

  /** @param registry Takes Prometheus' side. */
  constructor(registry: Registry) {
    this.#registry = registry;
    this.#meter = metrics.getMeter("xrouter");
  }

  /** A sum that only grows. */
  counter<const Names extends readonly string[]>(declared: Labelled<Names>): Instrument<Names> {
    const sums: { labels: PrometheusLabels; sum: number }[] = [];
    new Counter({
      ...this.#prometheus(declared, "_total"),
      labelNames: declared.labels.map(toPrometheus),
      // Each `inc` would look its series up anew; a scrape is rarer than a request.
      collect() {
        this.reset();
        for (const { labels, sum } of sums) this.inc(labels, sum);
      },
    });
    const otel = this.#meter.createCounter(declared.name, declared);
    return instrument(declared.labels, (attributes, labels) => {
      const series = { labels, sum: 0 };
      sums.push(series);
      return (value) => {
        series.sum += value;
        otel.add(value, attributes);
      };
    });
  }

  /** A distribution. */
  histogram<const Names extends readonly string[]>(
    declared: Labelled<Names> & { readonly buckets: number[] },
  ): Instrument<Names> {
    const { buckets } = declared;
    const prometheus = new Histogram({
      ...this.#prometheus(declared),
      labelNames: declared.labels.map(toPrometheus),
      buckets,
    });
    const otel = this.#meter.createHistogram(declared.name, {
      ...declared,
      advice: { explicitBucketBoundaries: buckets },
    });
    return instrument(declared.labels, (attributes, labels) => {
      const child = prometheus.labels(labels);
      return (value) => {
        child.observe(value);
        otel.record(value, attributes);
      };
    });
  }

  /** A level that is read when somebody asks for it. */
  gauge(declared: Declaration, read: () => number | Promise<number>): void {
    new Gauge({
      ...this.#prometheus(declared),
      async collect() {
        this.set(await read());
      },
    });
    const otel = this.#meter.createObservableUpDownCounter(declared.name, declared);
    const observe: ObservableCallback = async (result) => result.observe(await read());
    otel.addCallback(observe);
    this.#closers.push(() => otel.removeCallback(observe));
  }

  /** Levels that are read when somebody asks for them, each series as long as it is given. */
  levels<const Names extends readonly string[]>(
    declared: Labelled<Names>,
    read: () => Iterable<LevelOf<Names>>,
  ): void {
    const { labels: names } = declared;
    new Gauge({
      ...this.#prometheus(declared),
      labelNames: names.map(toPrometheus),
      collect() {
        this.reset();
        for (const { labels, value } of read()) this.set(attributesOf(names, labels, true), value);
      },
    });
    const otel = this.#meter.createObservableUpDownCounter(declared.name, declared);
    const observe: ObservableCallback = (result) => {
      for (const { labels, value } of read()) {
        result.observe(value, attributesOf(names, labels, false));
      }
    };
    otel.addCallback(observe);
    this.#closers.push(() => otel.removeCallback(observe));
  }

  /** Ends what OpenTelemetry would go on reading. */
  close(): void {
    for (const close of this.#closers.splice(0)) close();
  }

  #prometheus({ name, unit, description }: Declaration, suffix = "") {
    return {
      name: `${toPrometheus(name)}${unitSuffix(unit)}${suffix}`,
      help: description,
      registers: [this.#registry],
    };
  }
}

type PrometheusLabels = Record<string, string | number>;

/** Opens a series for each combination of labels, once. */
function instrument<Names extends readonly string[]>(
  names: Names,
  open: (attributes: Attributes, labels: PrometheusLabels) => Write,
): Instrument<Names> {
  const series = new Map<string, Write>();
  return (...values) => {
    const key = values.join("\n");
    const known = series.get(key);
    if (known !== undefined) return known;
    const write = open(attributesOf(names, values, false), attributesOf(names, values, true));
    // A vendor that reports nonsense must not cost the other records of its exchange.
    const checked: Write = (value) => {
      if (Number.isFinite(value) && value >= 0) write(value);
    };
    series.set(key, checked);
    return checked;
  };
}

/** Labels by their names; what has no value is left out. */
function attributesOf(
  names: readonly string[],
  values: readonly LabelValue[],
  asPrometheus: boolean,
): PrometheusLabels {
  const named = names.map((name, position) =>
    [asPrometheus ? toPrometheus(name) : name, values[position]] as const
  );
  return Object.fromEntries(
    named.filter((each): each is [string, string | number] => each[1] !== undefined),
  );
}

/** A name as the translation from OpenTelemetry to Prometheus writes it. */
function toPrometheus(name: string): string {
  return name.replaceAll(".", "_");
}

function unitSuffix(unit: string): string {
  if (unit.startsWith("{")) return "";
  return unit === "s" ? "_seconds" : `_${unit}`;
}
