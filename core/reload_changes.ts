/**
 * What differs between two states of the files.
 *
 * @module
 */
import { isDeepStrictEqual } from "node:util";
import { isSamePlugin } from "./pipeline.ts";
import type { Assembly } from "./assembly.ts";

/** What one list has and another has not. */
export function droppedBetween<Item>(list: readonly Item[], other: readonly Item[]): Item[] {
  const there = new Set(other);
  return list.filter((each) => !there.has(each));
}

/** What has changed, in words: plugins, providers, and the other sections of the configuration. */
export function changesBetween(before: Assembly, after: Assembly): string[] {
  const sections = Object.entries(after.config.file).filter(([name, section]) =>
    name !== "plugins" && name !== "providers" &&
    !isDeepStrictEqual(section, (before.config.file as unknown as Record<string, unknown>)[name])
  );
  return [
    ...differences(
      "plugin",
      new Map(before.plugins.map((each) => [each.plugin.name, each])),
      new Map(after.plugins.map((each) => [each.plugin.name, each])),
      isSamePlugin,
    ),
    ...differences(
      "provider",
      new Map(before.providers.map((each) => [each.provider.name, each])),
      new Map(after.providers.map((each) => [each.provider.name, each])),
      // The same one is the same object.
      (one, other) => one === other,
    ),
    ...sections.map(([name]) => `configuration file: ${name}`),
  ];
}

function differences<Item>(
  kind: string,
  before: ReadonlyMap<string, Item>,
  after: ReadonlyMap<string, Item>,
  isSame: (one: Item, other: Item) => boolean,
): string[] {
  const said = [...after].flatMap(([name, item]) => {
    const known = before.get(name);
    if (known === undefined) return [`${kind} "${name}" added`];
    return isSame(known, item) ? [] : [`${kind} "${name}" changed`];
  });
  const gone = [...before.keys()].filter((name) => !after.has(name));
  return [...said, ...gone.map((name) => `${kind} "${name}" removed`)];
}
