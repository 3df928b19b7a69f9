/**
 * Faults beyond the public catalogue.
 *
 * @module
 */
import { wholeText, words } from "./answer.ts";
import type { FaultCase } from "./cases.ts";
import {
  answeredByFallback,
  askedExactly,
  endsOnce,
  errorIsNot,
  noFallback,
  soundTimes,
  within,
} from "./checks.ts";
import { inEachMode } from "./each_mode.ts";
import { largeText, mangledText } from "./extra_scripts.ts";

const hour = 3_600_000;

/** The words, the fifth of them once more or not. */
function maySayTwice(text: string): boolean {
  const twice = words.toSpliced(4, 0, words[4]!).join(" ");
  return text === wholeText || text === twice;
}

/** The further cases. */
export const extraCases: readonly FaultCase[] = [
  {
    number: 17,
    fault: "a byte a second from the start",
    model: "trickle",
    required: [askedExactly(1)],
    advisory: [within(15_000), answeredByFallback],
  },
  ...inEachMode({
    number: 18,
    fault: "20 words, then a byte a second",
    model: "trickle-later",
    required: [within(45_000)],
  }),
  {
    number: 19,
    fault: "role and empty text at once, first token after 17 s",
    model: "empty-start",
    advisory: [within(15_000), answeredByFallback],
  },
  {
    number: 20,
    fault: "headers that never end",
    model: "endless-headers",
    required: [askedExactly(1)],
    advisory: [within(15_000), answeredByFallback],
  },
  { number: 21, fault: "200, and an error as the first event", model: "error-event" },
  { number: 22, fault: "200, the role, then an error", model: "error-after-role" },
  { number: 23, fault: "200, and an error as JSON", model: "error-body" },
  { number: 24, fault: "the same, not streamed", model: "error-body", stream: false },
  { number: 25, fault: "a gzipped stream, cut in half", model: "half-gzip" },
  {
    number: 26,
    fault: "a gzipped answer, cut in half, not streamed",
    model: "half-gzip-whole",
    stream: false,
  },
  { number: 27, fault: "200 with a web page", model: "web-page" },
  { number: 28, fault: "the same, not streamed", model: "web-page", stream: false },
  { number: 29, fault: "a right stream called `text/plain`", model: "plain-type" },
  {
    number: 30,
    fault: "50 MB as a stream",
    model: "large",
    heavy: true,
    text: (text, pace) => text === largeText(pace),
  },
  {
    number: 31,
    fault: "50 MB, not streamed",
    model: "large",
    heavy: true,
    stream: false,
    text: (text, pace) => text === largeText(pace),
  },
  {
    number: 32,
    fault: "role, a word, finish and usage come twice",
    model: "duplicates",
    text: maySayTwice,
    advisory: [endsOnce],
  },
  {
    number: 33,
    fault: "a byte that is no UTF-8",
    model: "invalid-utf8",
    text: (text) => mangledText.test(text) || text === wholeText,
  },
  ...inEachMode({
    number: 34,
    fault: "reset after the finish, before `[DONE]`",
    model: "reset-after-finish",
    required: [askedExactly(1)],
  }),
  {
    number: 35,
    fault: "complete without `[DONE]`, and stays open",
    model: "stays-open",
    // The limit of silence, 20 s, would end it too.
    advisory: [within(8_000, 18_000)],
  },
  ...inEachMode({
    number: 36,
    fault: "the stream ends well after 40 words",
    model: "ends-early",
  }),
  {
    number: 37,
    fault: "half of what content-length says, not streamed",
    model: "lies-about-length",
    stream: false,
  },
  {
    number: 38,
    fault: "as 8, and the fallback only says that it takes prefill",
    model: "breaks-off",
    fallback: "false-prefill",
    onBreak: "continue",
    required: [errorIsNot(/prefill/)],
  },
  {
    number: 39,
    fault: "TLS that stalls",
    model: "well",
    address: "tls",
    advisory: [within(15_000), answeredByFallback],
  },
  {
    number: 40,
    fault: "a name that DNS does not know",
    model: "well",
    address: "nowhere",
    advisory: [within(15_000), answeredByFallback],
  },
  {
    number: 41,
    fault: "the clock jumps an hour ahead in the stream",
    model: "slow",
    clockJump: hour,
    required: [soundTimes],
    advisory: [noFallback],
  },
  {
    number: 42,
    fault: "the clock jumps an hour back in the stream",
    model: "slow",
    clockJump: -hour,
    required: [soundTimes],
    advisory: [noFallback],
  },
];
