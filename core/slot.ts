/**
 * A slot: a call that may run, and what is asked for to get one.
 *
 * @module
 */
import type { AccountRequest } from "./account_choice.ts";
import type { Connection } from "./connection.ts";
import type { WatchedCall } from "./watched_call.ts";

/** A request in the queue. */
export interface Waiting {
  /** Its place, 1 for the one that is served next. */
  readonly place: number;
}

/** What a slot is wanted for. */
export interface ModelCall {
  /** The model that will be asked. */
  readonly model: string;
  /** Calls of that model that may run at a time, over all accounts; by default any number. */
  readonly parallel?: number | undefined;
}

/** A slot that is asked for. */
export interface SlotRequest extends AccountRequest, ModelCall {
  /** Who asks; each gets a turn, however many requests it has. */
  readonly keyId: string | undefined;
  /** Ends the wait. */
  readonly signal: AbortSignal;
  /** Told once, when there is a queue to stand in. */
  readonly onWait?: ((waiting: Waiting) => void) | undefined;
}

/** A call that may run. */
export interface Slot {
  /** At whose account. */
  readonly connection: Connection;
  /** Takes how it ends: that decides whether the account is asked for the model again. */
  readonly call: WatchedCall;
  /** Gives the slot back; further calls do nothing. */
  release(): void;
}
