/**
 * Sums over requests by group, from the totals by day that the database keeps.
 *
 * @module
 */

/** By what totals can be grouped. */
export const usageGroups = ["day", "key", "owner", "provider", "model", "tag"] as const;

/** By what totals can be grouped: `key` is its id, `owner` the key's, `model` the provider's id. */
export type UsageGroup = typeof usageGroups[number];

const counts = [
  "requests",
  "failed",
  "unpriced",
  "input_tokens",
  "output_tokens",
  "cached_tokens",
  "cost",
  "charged",
] as const;

/**
 * Sums over requests, by column of `usage_daily`: `failed` of them were not completed. Tokens and
 * amounts have those of tries beside them; `unpriced` requests and tries used tokens without a known
 * price. Amounts are millionths of the accounting currency.
 */
export type UsageSums = Readonly<Record<typeof counts[number], number>>;

/** Sums of one group. */
export interface UsageTotal extends UsageSums {
  /** Only what was grouped by; null: requests that have none. */
  readonly group: Readonly<Partial<Record<UsageGroup, string | null>>>;
  /** The name of the key, where it was grouped by. */
  readonly keyName: string | null;
}

const sums = counts.map((name) => `coalesce(sum(${name}), 0) AS ${name}`).join(", ");

/** The columns by which `usage_daily` is sorted. */
const dailyColumns = ["day", "key_id", "provider", "model", "tag"];

/** Reads sums by group piece by piece, and adds them up. */
export class GroupedTotals {
  readonly #groupBy: readonly UsageGroup[];
  readonly #totals = new Map<string, UsageTotal>();

  /** @param groupBy Without a group there is one total of everything. */
  constructor(groupBy: readonly UsageGroup[]) {
    this.#groupBy = groupBy;
  }

  /** How many groups there are so far. */
  get size(): number {
    return this.#totals.size;
  }

  /**
   * The query of one piece. Its last argument is the most groups to read, its result one cell `json`:
   * the database's client takes ten times as long to read as many rows.
   *
   * @param where Says which rows of `usage_daily` are meant.
   */
  sql(where: string): string {
    const fields = this.#names().map((name) => `'${name}', ${name}`).join(", ");
    return `SELECT json_group_array(json_object(${fields})) AS json
      FROM (${this.#grouped(where)} LIMIT ?)`;
  }

  /** Adds what a piece has. */
  add(json: string): void {
    for (const row of JSON.parse(json) as Record<string, string | number | null>[]) {
      const group = this.#groupBy.map((each) => (row[columnOf(each)] || null) as string | null);
      const place = JSON.stringify(group);
      const before = this.#totals.get(place);
      this.#totals.set(place, {
        group: Object.fromEntries(this.#groupBy.map((each, i) => [each, group[i]!])),
        keyName: (row.name ?? null) as string | null,
        ...Object.fromEntries(
          counts.map((name) => [name, row[name] as number + (before?.[name] ?? 0)]),
        ) as UsageSums,
      });
    }
  }

  /** All groups in their order. */
  list(): UsageTotal[] {
    return [...this.#totals.values()].sort(({ group: a }, { group: b }) => {
      const differing = this.#groupBy.find((each) => a[each] !== b[each]);
      if (differing === undefined) return 0;
      return (a[differing] ?? "") < (b[differing] ?? "") ? -1 : 1;
    });
  }

  #names(): string[] {
    const name = this.#groupBy.includes("key") ? ["name"] : [];
    return [...this.#groupBy.map(columnOf), ...name, ...counts];
  }

  #grouped(where: string): string {
    const columns = this.#groupBy.map(columnOf);
    const byKey = columns.includes("key_id");
    const byOwner = columns.includes("owner");
    // In the table's own order, so that as few rows as possible have to be sorted.
    const stored = dailyColumns.filter((name) =>
      columns.includes(name) || (byOwner && name === "key_id")
    );
    const daily = sumBy(stored, `usage_daily ${where}`);
    if (!byKey && !byOwner) return daily;
    // Summed by key first: keys are fewer than rows to be joined.
    const joined = `(${daily}) LEFT JOIN api_keys ON api_keys.id = key_id`;
    return byKey ? `SELECT ${this.#names().join(", ")} FROM ${joined}` : sumBy(columns, joined);
  }
}

function columnOf(group: UsageGroup): string {
  return group === "key" ? "key_id" : group;
}

function sumBy(columns: readonly string[], from: string): string {
  const by = columns.length === 0 ? "" : `GROUP BY ${columns.join(", ")}`;
  return `SELECT ${[...columns, sums].join(", ")} FROM ${from} ${by}`;
}
