import {
  assert,
  assertAlmostEquals,
  assertArrayIncludes,
  assertEquals,
  assertExists,
  assertGreater,
  assertGreaterOrEqual,
  assertInstanceOf,
  AssertionError,
  assertLess,
  assertLessOrEqual,
  assertMatch,
  assertNotEquals,
  assertNotMatch,
  assertObjectMatch,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
  fail,
} from "@std/assert";

/** Not built on the assertions under test, so that a broken one cannot vouch for itself. */
function failure(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof AssertionError) return error.message;
    throw error;
  }
  throw new Error(`${run} passed, but should fail`);
}

async function rejection(run: () => Promise<unknown>): Promise<string> {
  let thrown: unknown;
  await run().catch((error) => thrown = error);
  return failure(() => {
    if (thrown) throw thrown;
  });
}

Deno.test("assert and fail throw their message", () => {
  assert(1);
  if (failure(() => assert(0, "why")) !== "why") throw new Error("message lost");
  if (!failure(() => fail("why")).endsWith(": why")) throw new Error("message lost");
});

Deno.test("assertEquals takes deeply equal values as equal", () => {
  const cycle: Record<string, unknown> = { a: [1] };
  cycle["self"] = cycle;
  const twin: Record<string, unknown> = { a: [1] };
  twin["self"] = twin;
  const pairs: [unknown, unknown][] = [
    [{ a: [1, { b: NaN }] }, { a: [1, { b: NaN }] }],
    [{ a: 1, b: 2 }, { b: 2, a: 1 }],
    [{ zero: 0 }, { zero: -0 }],
    [Object.assign(Object.create(null), { a: 1 }), { a: 1 }],
    [/(?<year>\d+)/.exec("2026")?.groups, { year: "2026" }],
    [new Map([[{ a: 1 }, 1], [{ a: 2 }, 2]]), new Map([[{ a: 2 }, 2], [{ a: 1 }, 1]])],
    [new Set([1, 2]), new Set([2, 1])],
    [new Date(5), new Date(5)],
    [new URL("http://a/b"), new URL("http://a/b")],
    [new Uint8Array([1, 2]), new Uint8Array([1, 2])],
    [cycle, twin],
  ];
  for (const [actual, expected] of pairs) {
    assertEquals(actual, expected);
    failure(() => assertNotEquals(actual, expected));
  }
});

Deno.test("assertEquals tells different values apart", () => {
  const pairs: [unknown, unknown][] = [
    [1, "1"],
    [0, false],
    [null, undefined],
    [{ a: undefined }, {}],
    [{ a: 1 }, { a: 1, b: 2 }],
    [[1, 2], [2, 1]],
    [[undefined], new Array(1)],
    [[], {}],
    [new Array(2), new Array(3)],
    [new Date(5), new Date(6)],
    [/a/g, /a/i],
    [new URL("http://a/b"), new URL("http://a/c")],
    [new Headers({ a: "1" }), new Headers({ a: "2" })],
    [new Error("a"), new Error("b")],
    [new TypeError("a"), new Error("a")],
    [new Map([[1, { a: 1 }]]), new Map([[1, { a: 2 }]])],
    [new Set([{ a: 1 }]), new Set([{ a: 2 }])],
    [new Uint8Array([1]), new Uint8Array([2])],
    [new Uint8Array([1]).buffer, new Uint8Array([2]).buffer],
    [JSON.parse('{"__proto__":1}'), {}],
    [{ [Symbol.for("a")]: 1 }, {}],
    [new class A {}(), {}],
    [() => 1, () => 1],
  ];
  for (const [actual, expected] of pairs) {
    failure(() => assertEquals(actual, expected));
    failure(() => assertEquals(expected, actual));
    assertNotEquals(actual, expected);
  }
});

Deno.test("assertEquals shows the difference and the reason", () => {
  const message = failure(() => assertEquals({ a: "left", b: 1 }, { a: "right", b: 1 }, "why"));
  for (const part of ["left", "right", "why"]) {
    if (!message.includes(part)) throw new Error(`"${part}" is missing in: ${message}`);
  }
});

Deno.test("assertStrictEquals compares identity", () => {
  const one = { a: 1 };
  assertStrictEquals(one, one);
  assertStrictEquals(NaN, NaN);
  failure(() => assertStrictEquals(one, { a: 1 }));
  failure(() => assertStrictEquals(0, -0));
});

Deno.test("assertExists rejects null and undefined only", () => {
  const found: string | undefined = ["a"].find((text) => text === "a");
  assertExists(found);
  found.length satisfies number;
  for (const present of [0, "", false, NaN]) assertExists(present);
  for (const absent of [null, undefined]) failure(() => assertExists(absent));
});

Deno.test("assertInstanceOf narrows and rejects other classes", () => {
  const error: unknown = new TypeError("bad");
  assertInstanceOf(error, Error);
  error.message satisfies string;
  failure(() => assertInstanceOf(error, RangeError));
  failure(() => assertInstanceOf(null, Object));
});

Deno.test("assertObjectMatch compares only what is expected", () => {
  const error = Object.assign(new Error("broke"), { status: 402, detail: { used: 3, limit: 2 } });
  assertObjectMatch(error, { message: "broke", detail: { used: 3 } });
  assertObjectMatch({ list: [{ a: 1, b: 2 }, 3] }, { list: [{ a: 1 }] });
  assertObjectMatch({ at: new Date(5), tags: new Set([1]) }, { at: new Date(5) });
  failure(() => assertObjectMatch(error, { status: 500 }));
  failure(() => assertObjectMatch(error, { absent: undefined }));
  failure(() => assertObjectMatch(error, { toString: Error.prototype.toString }));
  failure(() => assertObjectMatch({ list: [{ a: 1 }] }, { list: [{ a: 2 }] }));
  failure(() => assertObjectMatch({ list: [1] }, { list: [1, 2] }));
  failure(() => assertObjectMatch({ list: { 0: 1 } }, { list: [1] }));
  failure(() => assertObjectMatch({ at: new Date(5) }, { at: new Date(6) }));
  failure(() => assertObjectMatch({ a: null }, { a: {} }));
});

Deno.test("assertArrayIncludes looks for every element", () => {
  assertArrayIncludes([{ a: 1 }, 2, 3], [3, { a: 1 }]);
  failure(() => assertArrayIncludes([1, 2], [1, 4]));
});

Deno.test("text assertions search and match", () => {
  assertStringIncludes("a router", "rout");
  failure(() => assertStringIncludes("a router", "Rout"));
  assertMatch("a router", /^a r/);
  failure(() => assertMatch("a router", /^r/));
  assertNotMatch("a router", /^r/);
  failure(() => assertNotMatch("a router", /^a/));
});

Deno.test("number assertions hold at their boundary", () => {
  assertGreater(2, 1);
  failure(() => assertGreater(1, 1));
  assertGreaterOrEqual(1, 1);
  failure(() => assertGreaterOrEqual(0, 1));
  assertLess(1, 2);
  failure(() => assertLess(1, 1));
  assertLessOrEqual(1, 1);
  failure(() => assertLessOrEqual(2, 1));
  failure(() => assertGreater(NaN, 1));
  assertAlmostEquals(0.1 + 0.2, 0.3);
  assertAlmostEquals(1, 1.4, 0.5);
  assertAlmostEquals(Infinity, Infinity);
  failure(() => assertAlmostEquals(1, 1.6, 0.5));
  failure(() => assertAlmostEquals(NaN, 1));
  failure(() => assertAlmostEquals(1, 1.001));
});

Deno.test("assertThrows checks class and message, and returns the error", () => {
  const bad = () => {
    throw new TypeError("Cannot read port");
  };
  assertThrows(bad, TypeError, "port").message satisfies string;
  if (assertThrows(bad, Error).name !== "TypeError") throw new Error("wrong error");
  if (
    assertThrows(() => {
      throw 1;
    }) !== 1
  ) throw new Error("wrong value");
  failure(() => assertThrows(bad, RangeError));
  failure(() => assertThrows(bad, TypeError, "host"));
  failure(() =>
    assertThrows(() => {
      throw "text";
    }, Error)
  );
  if (!failure(() => assertThrows(() => 1, "why")).endsWith(": why")) throw new Error("no reason");
  if (!failure(() => assertThrows(() => 1, Error, "", "why")).endsWith(": why")) {
    throw new Error("no reason");
  }
});

Deno.test("assertRejects checks class and message, and resolves to the error", async () => {
  const bad = () => Promise.reject(new TypeError("Cannot read port"));
  (await assertRejects(bad, TypeError, "port")).message satisfies string;
  if (await assertRejects(() => Promise.reject(1)) !== 1) throw new Error("wrong value");
  await rejection(() => assertRejects(bad, RangeError));
  await rejection(() => assertRejects(bad, TypeError, "host"));
  await rejection(() => assertRejects(() => Promise.reject("text"), Error));
  const why = await rejection(() => assertRejects(() => Promise.resolve(1), "why"));
  if (!why.endsWith(": why")) throw new Error("no reason");
  await rejection(() =>
    assertRejects(() => {
      throw new TypeError("thrown, not rejected");
    }, TypeError)
  );
});
