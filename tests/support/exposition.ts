/**
 * A page in Prometheus' text format, version 0.0.4, read strictly.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";

/** One line with a value. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const sampleLine = /^([a-zA-Z_:][\w:]*)(?:\{(.+)\})? (\S+)$/;
const labelPair = /([a-zA-Z_]\w*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)/y;
const escapes: Record<string, string> = { '\\"': '"', "\\\\": "\\", "\\n": "\n" };

/** What a page says. */
export class Exposition {
  /** The families' types. */
  readonly types = new Map<string, string>();
  /** The samples, in order. */
  readonly samples: Sample[] = [];
  readonly #byKey = new Map<string, Sample>();

  /** @throws {Error} naming the line that breaks a rule of the format. */
  constructor(text: string) {
    assert(text.endsWith("\n"), "the last line must end");
    let family = "";
    for (const line of text.split("\n").filter((each) => each !== "")) {
      const [, keyword, name, rest] = line.match(/^# (HELP|TYPE) (\S+) (.+)$/) ?? [];
      if (keyword === "HELP") {
        assert(!this.types.has(name!), `${line}: the family comes twice`);
        this.types.set(family = name!, "");
      } else if (keyword === "TYPE") {
        assert(name === family && this.types.get(name) === "", `${line}: out of place`);
        assert(["counter", "gauge", "histogram"].includes(rest!), `${line}: no such type`);
        this.types.set(name, rest!);
      } else this.#add(line, family);
    }
    for (const [name, type] of this.types) if (type === "histogram") this.#checkHistogram(name);
  }

  /** The value with exactly these labels. */
  value(name: string, labels: Record<string, string | number> = {}): number | undefined {
    return this.#byKey.get(keyOf(name, labels))?.value;
  }

  /** The labels and values of all samples of one name. */
  all(name: string): (Record<string, string | number> & { value: number })[] {
    return this.samples.filter((sample) => sample.name === name)
      .map(({ labels, value }) => ({ ...labels, value }));
  }

  #add(line: string, family: string): void {
    const [, name = "", pairs = "", number] = line.match(sampleLine) ?? [];
    const type = this.types.get(family);
    const suffixes = type === "histogram" ? ["_bucket", "_sum", "_count"] : [""];
    assert(suffixes.some((suffix) => name === family + suffix), `${line}: not of ${family}`);
    assert(type !== "counter" || name.endsWith("_total"), `${line}: a counter ends with _total`);
    const value = number === "+Inf" ? Infinity : Number(number);
    assert(!Number.isNaN(value) && (type === "gauge" || value >= 0), `${line}: a wrong value`);
    const labels: Record<string, string> = {};
    for (let at = 0; at < pairs.length; at = labelPair.lastIndex) {
      labelPair.lastIndex = at;
      const [, label, text] = labelPair.exec(pairs) ?? [];
      assert(label !== undefined && !Object.hasOwn(labels, label), `${line}: wrong labels`);
      labels[label] = text!.replaceAll(/\\./g, (escape) => escapes[escape]!);
    }
    const key = keyOf(name, labels);
    assert(!this.#byKey.has(key), `${line}: comes twice`);
    const sample = { name, labels, value };
    this.#byKey.set(key, sample);
    this.samples.push(sample);
  }

  /** Buckets rise, end with `+Inf`, and agree with the count; each series has a sum. */
  #checkHistogram(family: string): void {
    const last = new Map<string, { bound: number; count: number }>();
    for (const { name, labels: { le, ...labels }, value } of this.samples) {
      if (name !== `${family}_bucket`) continue;
      const key = keyOf("", labels);
      const before = last.get(key) ?? { bound: -Infinity, count: 0 };
      const bound = le === "+Inf" ? Infinity : Number(le);
      assert(bound > before.bound && value >= before.count, `${family}${key}: buckets must rise`);
      last.set(key, { bound, count: value });
    }
    for (const [key, { bound, count }] of last) {
      assertEquals([bound, count], [Infinity, this.#byKey.get(`${family}_count${key}`)?.value]);
      assert(this.#byKey.has(`${family}_sum${key}`), `${family}${key} has no sum`);
    }
  }
}

function keyOf(name: string, labels: Readonly<Record<string, string | number>>): string {
  return name + JSON.stringify(
    Object.entries(labels).map(([label, value]) => [label, String(value)]).sort(),
  );
}
