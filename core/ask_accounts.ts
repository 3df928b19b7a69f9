/**
 * Asks a vendor's accounts in turn until one begins to answer.
 *
 * @module
 */
import type { AccountRequest } from "./account_choice.ts";
import { isChat } from "./body.ts";
import type { Connection, Sent } from "./connection.ts";
import { conversationOf } from "./conversation.ts";
import { busyMs, failedMs, type RouterError } from "./errors.ts";
import type { Slot, Waiting } from "./slot.ts";
import type { Slots } from "./slots.ts";
import { toldError } from "./told_error.ts";
import { pause } from "./unless_aborted.ts";
import type { Upstream } from "./upstream.ts";

/** Milliseconds for which an account is avoided that has refused a model. */
const refusedMs = 60_000;

/**
 * How often a request asks an account again that lets few calls run and finds itself busy, where no
 * other one is free: vendors count a call that has just ended a moment longer. Whoever waits for it
 * keeps its slot, because the next request would be refused as well.
 */
const busyTries = 5;

/** The same at each later account, once these are used up by earlier ones. */
const laterTries = 2;

/** Milliseconds before an account's first of these tries; each further one waits twice as long. */
const busyWait = 100;

/** The most milliseconds that such a vendor may ask for. */
const busyPatience = 2_000;

/** What one attempt sends, and who is told of its way. */
export interface AskOptions extends Sent {
  /** Calls of the model that may run at a time, over all accounts; by default any number. */
  readonly parallel?: number | undefined;
  /** Told when every call that the vendor lets run at a time is taken. */
  readonly onWait?: (waiting: Waiting) => void;
  /** Told before the vendor is called, once for each account that is asked; whether it runs few calls. */
  readonly onCall?: (isScarce: boolean) => void;
  /** Told of an account that refused, when another one is asked, or the same one again. */
  readonly onRefusal?: (account: string, error: RouterError) => void;
}

/**
 * Asks, and waits for the first chunk of the answer. An account that refuses or cannot be reached is
 * followed by the next; one whose circuit is open for the model is not asked.
 *
 * @param only The account that must be asked; by default any.
 * @throws {RouterError} What {@linkcode toldError} takes of all refusals and failures, `circuit_open` of
 * those that could not be asked among them; the signal's reason when it was aborted.
 */
export async function askAccounts(
  connections: readonly Connection[],
  slots: Slots,
  { onWait, onCall, onRefusal, onAnswer, parallel, ...sent }: AskOptions,
  only?: Connection,
): Promise<Upstream> {
  const { signal, keyId, body: { model } } = sent;
  const refused = new Set(only && connections.filter((each) => each !== only));
  // With one account there is no choice, and nothing to remember.
  const conversation = connections.length > 1 && isChat(sent.body)
    ? conversationOf(sent.body, sent)
    : undefined;
  const kind = isChat(sent.body) ? "chat" : "embeddings";
  const wanted = { model, kind, refused } as const;
  const take = () => slots.take({ ...wanted, parallel, keyId, signal, conversation, onWait });
  const patience: Patience = { tries: busyTries };
  let failure: RouterError | undefined;
  for (;;) {
    signal.throwIfAborted();
    let slot: Slot;
    try {
      const taken = take();
      slot = taken instanceof Promise ? await taken : taken;
    } catch (error) {
      throw toldError(failure, error as RouterError);
    }
    const { connection, call, release } = slot;
    if (conversation !== undefined) {
      const noteEnd = (answered: boolean) =>
        answered
          ? slots.remember(conversation, connection)
          : slots.forget(conversation, connection);
      call.onEnd = noteEnd;
    }
    // Also a provider that does not heed the signal must not keep the call for ever.
    let upstream: Upstream | undefined;
    signal.addEventListener(
      "abort",
      // An answer may end in silence once it has said why it ends.
      () => upstream?.finished ? call.answered() : call.failed(signal.reason),
      { once: true },
    );
    onCall?.(Number.isFinite(connection.parallel) && connection.counts(kind));
    refused.add(connection);
    let answered = false;
    const noteAnswer = () => {
      answered = true;
      onAnswer?.();
    };
    try {
      const asking = { slots, wanted, patience, onRefusal };
      upstream = await askOne(slot, { ...sent, onAnswer: noteAnswer }, asking);
      return upstream;
    } catch (thrown) {
      const error = thrown as RouterError;
      const ms = avoidedFor(error, answered);
      // Before the slot is given back: whoever takes it next must know.
      if (ms !== undefined) slots.avoid(connection, model, ms);
      else if (patience.account === connection) slots.avoid(connection, model, 0);
      call.failed(error);
      release();
      if (ms === undefined) throw error;
      failure = toldError(failure, error);
      if (refused.size === connections.length) throw failure;
      // Those that are left are busy as well, and others wait there.
      if (patience.tries === 0 && !slots.mayServe(wanted)) throw failure;
      onRefusal?.(connection.name, error);
    }
  }
}

/** Milliseconds for which another account may do better; `undefined` when it would do the same. */
function avoidedFor({ code, retryAfterMs }: RouterError, answered: boolean): number | undefined {
  switch (code) {
    case "upstream_busy":
      return retryAfterMs ?? busyMs;
    case "insufficient_quota":
    case "model_not_found":
    case "upstream_rejected":
      return refusedMs;
    case "upstream_unavailable":
      // An answer that is of no use is the model's, whoever asks for it.
      return answered ? undefined : failedMs;
    default:
      return undefined;
  }
}

/** How long a request goes on asking accounts that are busy. */
interface Patience {
  /** How often one may be asked again: those before it have used up some of it. */
  tries: number;
  /** The one that was asked again last, and is avoided by others meanwhile. */
  account?: Connection;
}

/** What one account's turn needs to know of the others'. */
interface Asking {
  readonly slots: Slots;
  readonly wanted: AccountRequest;
  readonly patience: Patience;
  readonly onRefusal: AskOptions["onRefusal"];
}

/** Asks one account; where it is busy and no other one is free, again a moment later. */
async function askOne(
  { connection, call, release }: Slot,
  sent: Sent,
  { slots, wanted, patience, onRefusal }: Asking,
): Promise<Upstream> {
  const { signal, body: { model } } = sent;
  patience.tries = Math.max(patience.tries, laterTries);
  for (let tries = 0;; tries++) {
    const startedTick = performance.now();
    try {
      const upstream = await connection.open(sent, release);
      if (tries > 0) slots.avoid(connection, model, 0);
      upstream.watchedBy(call, performance.now() - startedTick);
      return upstream;
    } catch (thrown) {
      const error = thrown as RouterError;
      const wait = error.retryAfterMs ?? busyWait * 2 ** tries;
      const mayWait = error.code === "upstream_busy" && Number.isFinite(connection.parallel) &&
        patience.tries > 0 && wait <= busyPatience;
      if (!mayWait || slots.hasFree(wanted)) throw error;
      patience.tries--;
      onRefusal?.(connection.name, error);
      // Until it has answered: nobody whose patience is over shall wait for it.
      patience.account = connection;
      slots.avoid(connection, model, wait + busyMs);
      await pause(wait, signal);
    }
  }
}
