/**
 * A route: where one request may go, and how patiently.
 *
 * @module
 */
import type { Target } from "../model.ts";

/** Where a request may go, and how patiently. */
export interface Route {
  /** The targets, best first. */
  targets: RoutedTarget[];
  /** Tries over all targets together. */
  attempts: number;
  /** Further tries of one target after its first, where the error allows it. */
  retries: number;
  /** Milliseconds for the whole exchange, all tries together. */
  time: number;
  /** Limits of each try, where its target has none of its own. */
  timeouts: Timeouts;
  /** What becomes of a stream that breaks off after words of it went out. */
  onBreak: BreakPolicy;
  /** Milliseconds without a token after which a second target is asked too; absent: never. */
  hedgeAfter?: number | undefined;
  /** Why these targets, and why no others. */
  reason?: RouteReason | undefined;
}

/** A target of a route. */
export interface RoutedTarget extends Target {
  /** Limits of its own. */
  readonly timeouts?: Partial<Timeouts> | undefined;
}

/** Limits of one try, in milliseconds. One that passes ends the try with `timeout`. */
export interface Timeouts {
  /** A stream: until its first byte, connecting included. */
  firstByte: number;
  /** A stream: until its first token. */
  firstToken: number;
  /** The same two for the last target that is left: nobody else could be asked instead. */
  last: number;
  /** A stream: silence between two chunks. */
  idle: number;
  /** An answer that is no stream: all of it, since it comes at once. */
  whole: number;
  /** A stream: all of it. */
  total: number;
}

/** The ways to treat a stream that breaks off after words of it went out. */
export const breakPolicies = ["error", "continue", "whole"] as const;

/**
 * `error`: an error frame. `continue`: the next target goes on from the words that went out.
 * `whole`: nothing goes out before the answer is complete, so that another target can start anew.
 */
export type BreakPolicy = typeof breakPolicies[number];

/** How a route came to its targets. */
export interface RouteReason {
  /** The route's name, where the client named one. */
  readonly route?: string | undefined;
  /** How its targets were put in order. */
  readonly strategy: string;
  /** Those that were left out: `provider/model`, and why. */
  readonly excluded: readonly { readonly target: string; readonly reason: string }[];
}
