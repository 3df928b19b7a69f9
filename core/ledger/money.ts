/**
 * Amounts of money: whole millionths inside, units with up to six decimals for people.
 *
 * @module
 */

/** The largest amount in units: what a number holds exactly in millionths. */
const most = "9007199254.740991";

/**
 * Reads an amount in units: `100`, `100.50`, `-0.000001`.
 *
 * @returns Whole millionths, a safe integer.
 * @throws Error saying how to write it, when the text is no such amount or too large to be exact.
 */
export function parseAmount(text: string): number {
  const [, sign, units, decimals = ""] = /^(-?)(\d+)(?:\.(\d{1,6}))?$/.exec(text) ?? [];
  if (units === undefined) throw new Error(`"${text}" ${problemOf(text)}`);
  const millionths = Number(units + decimals.padEnd(6, "0"));
  if (!Number.isSafeInteger(millionths)) {
    throw new Error(`"${text}" is too large to be counted exactly. The most is ${most}`);
  }
  return sign === "" || millionths === 0 ? millionths : -millionths;
}

function problemOf(text: string): string {
  if (text.includes(",")) {
    return "has a comma. Write decimals after a point, and nothing between thousands: 100.50";
  }
  if (/^-?\d+\.\d{7,}$/.test(text)) return "has more than six decimals. Round it to millionths";
  return "is not an amount. Write one such as 100 or 100.50";
}

/**
 * An amount in units, with two decimals at least and as many as it takes to be exact: `100.50`,
 * `0.000001`, and with a currency `-3.00 RUB`.
 *
 * @param millionths A safe integer.
 * @param currency ISO 4217 code to write after it.
 * @throws RangeError when it is not a safe integer.
 */
export function formatAmount(millionths: number, currency?: string): string {
  if (!Number.isSafeInteger(millionths)) {
    throw new RangeError(`Amount must be whole millionths up to ${most}, not ${millionths}`);
  }
  const digits = String(Math.abs(millionths)).padStart(7, "0");
  const decimals = digits.slice(-6).replace(/0{1,4}$/, "");
  const amount = `${millionths < 0 ? "-" : ""}${digits.slice(0, -6)}.${decimals}`;
  return currency === undefined ? amount : `${amount} ${currency}`;
}

/**
 * Millionths as units. The result is the number nearest to the amount, so that JSON shows the amount
 * itself, with six decimals at most, up to 2^33 units.
 */
export function toUnits(millionths: number): number {
  return millionths / 1_000_000;
}

/** {@link toUnits} where there may be no amount. */
export function unitsOrNull(millionths: number | null): number | null {
  return millionths === null ? null : toUnits(millionths);
}
