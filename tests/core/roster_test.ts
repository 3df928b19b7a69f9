import { assertEquals } from "@std/assert";
import { type Listed, Roster } from "../../core/roster.ts";
import { seededRandom } from "../support/random.ts";

Deno.test("Roster has whom a Set would have, whoever comes and goes", () => {
  const below = seededRandom();
  const roster = new Roster<Listed>();
  const expected = new Set<Listed>();
  const all = Array.from({ length: 50 }, (): Listed => ({}));
  for (let step = 0; step < 5_000; step++) {
    const each = all[below(all.length)]!;
    if (below(2) === 0) {
      roster.add(each);
      expected.add(each);
    } else {
      assertEquals(roster.delete(each), expected.delete(each));
    }
    assertEquals(roster.size, expected.size);
    assertEquals(new Set(roster.list()), expected);
  }
  roster.clear();
  assertEquals([roster.size, roster.list()], [0, []]);
  for (const each of all) roster.add(each);
  assertEquals(new Set(roster.list()), new Set(all));
});

Deno.test("Roster shows each member once, and none that is taken out meanwhile", () => {
  const roster = new Roster<Listed>();
  const members = Array.from({ length: 6 }, (): Listed => ({}));
  for (const each of members) roster.add(each);
  const late: Listed = {};
  const seen: Listed[] = [];
  roster.forEach((each) => {
    seen.push(each);
    if (each === members[1]) {
      // One that was seen, itself, and one that was not.
      for (const gone of [0, 1, 4]) roster.delete(members[gone]!);
      roster.add(late);
    }
  });
  assertEquals(seen, [0, 1, 2, 3, 5].map((at) => members[at]));
  assertEquals(new Set(roster.list()), new Set([members[2], members[3], members[5], late]));
});
