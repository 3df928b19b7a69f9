/**
 * The part of `@std/assert` that the tests use, over `node:assert`, for machines that cannot reach
 * JSR. Names, signatures and meaning follow the public package, so that the import map can go back
 * to it (see `core/decisions/0001_std_packages.md`). Every function throws {@link AssertionError}.
 */
import { AssertionError as NodeAssertionError } from "node:assert";
import { isDeepStrictEqual } from "node:util";

// deno-lint-ignore no-explicit-any
type Class<T> = abstract new (...args: any[]) => T;

/** What every failed assertion throws. */
export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

/** Fails unconditionally. */
export function fail(msg?: string): never {
  throw new AssertionError(`Failed assertion${suffix(msg)}`);
}

/** Asserts that `expr` is truthy, and narrows its type. */
export function assert(expr: unknown, msg = ""): asserts expr {
  if (!expr) throw new AssertionError(msg);
}

/** Asserts that `actual` is neither `null` nor `undefined`, and narrows its type. */
export function assertExists<T>(actual: T, msg?: string): asserts actual is NonNullable<T> {
  check(actual != null, () => `Expected actual: "${actual}" to not be null or undefined`, msg);
}

/**
 * Asserts deep equality as `node:assert/strict` has it, but for two points: `0` equals `-0`, and an
 * object without a prototype equals a plain one. A key that holds `undefined` differs from none.
 */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  const [left, right] = [plain(actual), plain(expected)];
  check(isDeepStrictEqual(left, right), () => diff("deepStrictEqual", left, right), msg);
}

/** Asserts that {@link assertEquals} would fail. */
export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void {
  check(!equal(actual, expected), () => `Expected actual: ${show(actual)} not to be equal`, msg);
}

/** Asserts identity by `Object.is`, and narrows the type of `actual`. */
export function assertStrictEquals<T>(
  actual: unknown,
  expected: T,
  msg?: string,
): asserts actual is T {
  check(Object.is(actual, expected), () => diff("strictEqual", actual, expected), msg);
}

/** Asserts that `actual` has at least the keys of `expected`, at every depth. */
export function assertObjectMatch(
  // deno-lint-ignore no-explicit-any
  actual: Record<PropertyKey, any>,
  expected: Record<PropertyKey, unknown>,
  msg?: string,
): void {
  assertEquals(narrow(actual, expected), narrow(expected, expected), msg);
}

/** Asserts that every element of `expected` is, by deep equality, somewhere in `actual`. */
export function assertArrayIncludes<T>(
  actual: ArrayLike<T>,
  expected: ArrayLike<T>,
  msg?: string,
): void {
  const present = Array.from(actual);
  const missing = Array.from(expected).filter((item) => !present.some((one) => equal(one, item)));
  const message = () => `Expected actual: ${show(present)} to include: ${show(missing)}`;
  check(missing.length === 0, message, msg);
}

/** Asserts that the text `actual` contains `expected`. */
export function assertStringIncludes(actual: string, expected: string, msg?: string): void {
  const message = () => `Expected actual: ${show(actual)} to contain: ${show(expected)}`;
  check(actual.includes(expected), message, msg);
}

/** Asserts that the text `actual` matches `expected`. */
export function assertMatch(actual: string, expected: RegExp, msg?: string): void {
  const message = () => `Expected actual: ${show(actual)} to match: ${expected}`;
  check(expected.test(actual), message, msg);
}

/** Asserts that the text `actual` does not match `expected`. */
export function assertNotMatch(actual: string, expected: RegExp, msg?: string): void {
  const message = () => `Expected actual: ${show(actual)} to not match: ${expected}`;
  check(!expected.test(actual), message, msg);
}

/** Asserts `actual instanceof expectedType`, and narrows the type of `actual`. */
export function assertInstanceOf<T>(
  actual: unknown,
  expectedType: Class<T>,
  msg?: string,
): asserts actual is T {
  const message = () =>
    `Expected object to be an instance of "${expectedType.name}" but was ${show(actual)}`;
  check(actual instanceof expectedType, message, msg);
}

/** Asserts `actual > expected`. */
export function assertGreater<T>(actual: T, expected: T, msg?: string): void {
  check(actual > expected, () => `Expect ${show(actual)} > ${show(expected)}`, msg);
}

/** Asserts `actual >= expected`. */
export function assertGreaterOrEqual<T>(actual: T, expected: T, msg?: string): void {
  check(actual >= expected, () => `Expect ${show(actual)} >= ${show(expected)}`, msg);
}

/** Asserts `actual < expected`. */
export function assertLess<T>(actual: T, expected: T, msg?: string): void {
  check(actual < expected, () => `Expect ${show(actual)} < ${show(expected)}`, msg);
}

/** Asserts `actual <= expected`. */
export function assertLessOrEqual<T>(actual: T, expected: T, msg?: string): void {
  check(actual <= expected, () => `Expect ${show(actual)} <= ${show(expected)}`, msg);
}

/** Asserts `|actual - expected| <= tolerance`, by default a ten-millionth of `expected`. */
export function assertAlmostEquals(
  actual: number,
  expected: number,
  tolerance = Number.isFinite(expected) ? Math.abs(expected * 1e-7) : 1e-7,
  msg?: string,
): void {
  const close = Object.is(actual, expected) || Math.abs(expected - actual) <= tolerance;
  check(close, () => `Expected actual: ${actual} to be within ${tolerance} of ${expected}`, msg);
}

/** Asserts that `fn` throws, and returns what it threw. */
export function assertThrows(fn: () => unknown, msg?: string): unknown;
/** Asserts that `fn` throws an `ErrorClass` whose message contains `msgIncludes`; returns it. */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ErrorClass: Class<E>,
  msgIncludes?: string,
  msg?: string,
): E;
export function assertThrows(fn: () => unknown, ...rest: ErrorExpectation): unknown {
  try {
    fn();
  } catch (error) {
    checkError(error, rest);
    return error;
  }
  throw new AssertionError(`Expected function to throw${suffix(messageOf(rest))}`);
}

/** Asserts that the promise of `fn` rejects, and resolves to the reason. */
export function assertRejects(fn: () => PromiseLike<unknown>, msg?: string): Promise<unknown>;
/** Asserts a rejection with an `ErrorClass` whose message contains `msgIncludes`; resolves to it. */
export function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass: Class<E>,
  msgIncludes?: string,
  msg?: string,
): Promise<E>;
export async function assertRejects(
  fn: () => PromiseLike<unknown>,
  ...rest: ErrorExpectation
): Promise<unknown> {
  let promise: PromiseLike<unknown> | undefined;
  try {
    promise = fn();
    await promise;
  } catch (error) {
    check(promise !== undefined, () => "Function throws when expected to reject", messageOf(rest));
    checkError(error, rest);
    return error;
  }
  throw new AssertionError(`Expected function to reject${suffix(messageOf(rest))}`);
}

type ErrorExpectation = [
  errorClassOrMsg?: Class<Error> | string,
  msgIncludes?: string,
  msg?: string,
];

function messageOf([errorClassOrMsg, , msg]: ErrorExpectation): string | undefined {
  return typeof errorClassOrMsg === "string" ? errorClassOrMsg : msg;
}

function checkError(error: unknown, [ErrorClass, msgIncludes = "", msg]: ErrorExpectation): void {
  if (ErrorClass === undefined || typeof ErrorClass === "string") return;
  assertInstanceOf(error, ErrorClass, msg);
  const { message } = error;
  const complaint = () =>
    `Expected error message to include ${show(msgIncludes)}, got ${show(message)}`;
  check(message.includes(msgIncludes), complaint, msg);
}

function check(ok: boolean, message: () => string, msg?: string): asserts ok {
  if (!ok) throw new AssertionError(message() + suffix(msg));
}

function suffix(msg: string | undefined): string {
  return msg ? `: ${msg}` : "";
}

function show(value: unknown): string {
  return Deno.inspect(value);
}

function diff(operator: string, actual: unknown, expected: unknown): string {
  return new NodeAssertionError({ actual, expected, operator }).message;
}

function equal(actual: unknown, expected: unknown): boolean {
  return isDeepStrictEqual(plain(actual), plain(expected));
}

type Properties = Record<PropertyKey, unknown>;

function isPlain(value: unknown): value is Properties {
  if (typeof value !== "object" || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype || prototype === Array.prototype;
}

/** A copy in which the two differences between `node:assert` and `@std/assert` are gone. */
function plain(value: unknown, copies = new Map<unknown, unknown>()): unknown {
  if (value === 0) return 0;
  if (!isPlain(value)) return value;
  if (copies.has(value)) return copies.get(value);
  const copy = Array.isArray(value) ? new Array(value.length) : {};
  copies.set(value, copy);
  for (const key of Reflect.ownKeys(value)) {
    if (!Object.prototype.propertyIsEnumerable.call(value, key)) continue;
    // Not an assignment: the key may be "__proto__".
    Object.defineProperty(copy, key, {
      value: plain(value[key], copies),
      configurable: true,
      enumerable: true,
      writable: true,
    });
  }
  return copy;
}

/** The part of `actual` that `expected` speaks about. */
function narrow(actual: unknown, expected: unknown): unknown {
  if (!isPlain(expected) || typeof actual !== "object" || actual === null) return actual;
  if (Array.isArray(actual) !== Array.isArray(expected)) return actual;
  const part = (Array.isArray(expected) ? [] : {}) as Properties;
  for (const key of Reflect.ownKeys(expected)) {
    if (key !== "length" && Object.hasOwn(actual, key)) {
      part[key] = narrow((actual as Properties)[key], expected[key]);
    }
  }
  return part;
}
