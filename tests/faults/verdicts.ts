/**
 * What each case comes to now. To improve one is to change one word here.
 *
 * A stream that breaks off with `on-break: error` can be no better than safe: its words are out.
 *
 * @module
 */
import type { Verdict } from "./judge.ts";

/** The expected verdicts, by the cases' names. */
export const verdicts: Readonly<Record<string, Verdict>> = {
  "1": "pass",
  "2": "pass",
  "3": "pass",
  "4": "pass",
  "5": "pass",
  "6": "pass",
  "7": "pass",
  "8 error": "safe",
  "8 continue": "pass",
  "8 whole": "pass",
  "9 error": "safe",
  "9 continue": "pass",
  "9 whole": "pass",
  "10": "pass",
  "11": "pass",
  "12": "pass",
  "13": "pass",
  "14 error": "safe",
  "14 continue": "pass",
  "14 whole": "pass",
  "15": "pass",
  "16": "pass",
  "17": "pass",
  "18": "safe",
  "19": "pass",
  "20": "pass",
  "21": "pass",
  "22": "pass",
  "23": "pass",
  "24": "pass",
  "25": "pass",
  "26": "pass",
  "27": "pass",
  "28": "pass",
  "29": "pass",
  "30": "pass",
  "31": "pass",
  "32": "partial",
  "33": "pass",
  "34": "pass",
  "35": "pass",
  "36": "safe",
  "37": "pass",
  "38 continue": "pass",
  "39": "pass",
  "40": "pass",
  "41": "pass",
  "42": "pass",
};
