/**
 * What a case comes to: pass, partial, safe or fail.
 *
 * @module
 */
import { wholeText } from "./answer.ts";
import type { Seen } from "./client.ts";
import type { Booked, LedgerRead } from "./system.ts";
import type { LoggedCall } from "./vendor.ts";

/** From the best to the worst. */
export const verdictNames = ["pass", "partial", "safe", "fail"] as const;

/**
 * `pass`: the caller has the whole answer and every check holds. `partial`: an advisory check
 * failed. `safe`: no answer, but a clear error in bounded time. `fail`: a hang, a cut answer that
 * looks finished, or a required check failed.
 */
export type Verdict = typeof verdictNames[number];

/** All that was seen of one case. */
export interface Evidence {
  /** What the caller saw, call by call. */
  readonly seen: readonly Seen[];
  /** The vendors' own logs, in the order of time. */
  readonly calls: readonly LoggedCall[];
  /** What the ledger says of the case's calls. */
  readonly rows: readonly Booked[];
  /** The whole ledger, after its program was closed. */
  readonly ledger: Pick<LedgerRead, "holds" | "mismatches">;
  /** A healthy call through the same system afterwards. */
  readonly healthy: Seen;
  /** What the times of the case were multiplied with. */
  readonly pace: number;
}

/** Looks at the evidence. @returns What is wrong with it. */
export type Check = (evidence: Evidence) => string | undefined;

/** What a case must show beside what every case must show. */
export interface Demands {
  /** A fault against these is a fail. */
  readonly required?: readonly Check[];
  /** A fault against these is partial. */
  readonly advisory?: readonly Check[];
  /** Whether a text is the whole answer's at this pace; it has to be the sixty words where absent. */
  readonly text?: (text: string, pace: number) => boolean;
  /** A clear error with this code is the right answer, and a whole answer is only partial. */
  readonly refusal?: string;
}

/** A verdict and what led to it. */
export interface Judgement {
  readonly verdict: Verdict;
  /** What is wrong, most serious first; empty for a full pass. */
  readonly reasons: readonly string[];
}

/** Milliseconds that the healthy call afterwards may take. */
const healthyWithin = 10_000;

/** Whether the caller has the whole answer: its words, its end, its usage, and no error. */
export function isWhole(
  { text, finishes, usage, error, hung }: Seen,
  isRight: (text: string) => boolean = (text) => text === wholeText,
): boolean {
  return !hung && error === undefined && isRight(text) && usage !== undefined &&
    finishes.length > 0 && finishes.every((finish) => finish === "stop");
}

/** Whether an error says what happened: a code of XRouter's own, and words. */
export function isClear({ error }: Seen): boolean {
  return error?.code !== undefined && error.code !== "internal" && error.message !== "";
}

/** Judges a case. */
export function judge(evidence: Evidence, demands: Demands): Judgement {
  const { seen, healthy } = evidence;
  const { required = [], advisory = [], refusal } = demands;
  const isRight = (text: string) => demands.text?.(text, evidence.pace) ?? text === wholeText;
  const wrong: string[] = [];
  for (const each of seen) {
    if (each.hung) wrong.push(`hangs: no end within ${Math.round(each.ms / 1_000)} s`);
    else if (each.error !== undefined) {
      if (!isClear(each)) wrong.push(`the error is not clear: ${each.error.message}`);
    } else if (!isWhole(each, isRight)) wrong.push(`a cut answer looks finished: ${shapeOf(each)}`);
  }
  if (!isWhole(healthy) || healthy.ms > healthyWithin) {
    wrong.push(`a healthy call afterwards does not work: ${shapeOf(healthy)}`);
  }
  for (const check of [bookedOnce(isRight), ...required]) add(wrong, check(evidence));
  if (wrong.length > 0) return { verdict: "fail", reasons: wrong };
  const errors = seen.filter(({ error }) => error !== undefined);
  if (refusal === undefined && errors.length > 0) {
    return {
      verdict: "safe",
      reasons: [`${errors[0]!.error!.code}: ${errors[0]!.error!.message}`],
    };
  }
  const amiss: string[] = [];
  if (refusal !== undefined && seen.some(({ error }) => error?.code !== refusal)) {
    amiss.push("the refusal did not reach the caller");
  }
  for (const check of advisory) add(amiss, check(evidence));
  return { verdict: amiss.length > 0 ? "partial" : "pass", reasons: amiss };
}

/** An answer is booked once, to the model that gave it; a try that failed is no answer. */
function bookedOnce(isRight: (text: string) => boolean): Check {
  return ({ seen, rows, ledger }) => {
    const answers = seen.filter((each) => isWhole(each, isRight));
    const booked = rows.filter(({ state }) => state === "completed");
    if (booked.length !== answers.length) {
      return `${answers.length} answers are booked as ${booked.length}`;
    }
    const [wanted, found] = [answers.map(answererOf), booked.map(nameOf)].map((names) =>
      names.toSorted().join(", ")
    );
    if (found !== wanted) return `answers of ${wanted} are booked to ${found}`;
    if (booked.some(({ cost }) => cost === null || cost === 0)) return "an answer cost nothing";
    const spent = answers.reduce((sum, { usage }) => sum + (usage!.cost ?? 0), 0);
    const charged = rows.reduce((sum, { cost }) => sum + (cost ?? 0), 0) / 1_000_000;
    if (charged < spent - 1e-9) return `${charged} is booked of ${spent} that the caller was told`;
    if (ledger.holds > 0) return `${ledger.holds} holds are left`;
    return ledger.mismatches > 0 ? `${ledger.mismatches} numbers do not add up` : undefined;
  };
}

/** Who gave an answer: the vendors write it into the model's name as `vendor-model`. */
function answererOf({ model = "nobody" }: Seen): string {
  return model.replace("-", "/");
}

function nameOf({ provider, model }: Booked): string {
  return `${provider}/${model}`;
}

/** An answer in a few words. */
export function shapeOf({ text, finishes, usage, error, hung }: Seen): string {
  const count = text === "" ? 0 : text.split(" ").length;
  const words = text.length > 10_000 ? `${text.length} characters` : `${count} words`;
  const end = finishes.length === 0 ? "no end" : finishes.join(" and ");
  const why = hung ? "hangs" : error === undefined ? end : error.code ?? error.message;
  return `${words}, ${why}${usage === undefined && error === undefined ? ", no usage" : ""}`;
}

function add(list: string[], complaint: string | undefined): void {
  if (complaint !== undefined) list.push(complaint);
}
