/**
 * One request as the kernel carries it through the six moments.
 *
 * @module
 */
import { type Body, parsers, type Path } from "./body.ts";
import { type RouterError, toRouterError } from "./errors.ts";
import type { Attempt, Exchange, Route, State } from "./plugin.ts";
import type { Waiting } from "./slot.ts";
import { startTicking, stopTicking, type Ticking } from "./ticker.ts";
import type { Tally } from "./tally.ts";
import { timeOrderedId } from "./time_ordered_id.ts";

/** Reads a request's body. @returns The bytes, or why there are none. */
export type ReadBody = () => Promise<Uint8Array | RouterError>;

/** The exchange that hooks see, with what only the kernel needs. */
export class LiveExchange implements Exchange, Ticking {
  place: number | undefined;
  readonly startedAt: number = Date.now();
  readonly id: string = timeOrderedId(this.startedAt);
  /** When it began, by `performance.now()`. */
  readonly startedTick: number = performance.now();
  readonly headers: Headers;
  /** What is asked for. */
  readonly path: Path;
  readonly replyHeaders: Record<string, string> = {};
  readonly state: Partial<State> = {};
  readonly attempts: Attempt[] = [];
  dryRun = false;
  route: Route | undefined;
  readonly #request: Request;
  readonly #read: ReadBody;
  #source: Uint8Array | RouterError | undefined;
  readonly #onGone: () => void;
  /** What its tries produce. */
  readonly #producing = new Map<Attempt, Tally>();
  /** The try that answers, once one does. */
  answering: Attempt | undefined;
  /** Its place in a provider's queue, while it stands there. */
  waiting: Waiting | undefined;
  /** Called when it comes to stand there, and when it takes one of few calls. */
  onScarce: (() => void) | undefined;
  /** Called when it takes longer than a moment. */
  onSlow: (() => void) | undefined;
  #body: Body | RouterError | undefined;
  #gone: AbortController | undefined;
  #answered = false;

  /**
   * @param request The client's request.
   * @param path What is asked for.
   * @param read Reads its body.
   * @param onGone Called when the client goes away before {@linkcode LiveExchange.answered}.
   */
  constructor(request: Request, path: Path, read: ReadBody, onGone: () => void) {
    this.path = path;
    this.#request = request;
    this.#read = read;
    this.#onGone = onGone;
    this.headers = request.headers;
    startTicking(this);
  }

  get signal(): AbortSignal {
    if (this.#gone === undefined) {
      this.#gone = new AbortController();
      const { signal } = this.#request;
      signal.addEventListener("abort", () => this.leave(), { once: true });
      if (signal.aborted) this.leave();
    }
    return this.#gone.signal;
  }

  /**
   * Listens to the client from the first tick on: the signal costs as much as a fifth of a quick
   * request, tells later what it missed, and most quick requests are over before it is needed.
   */
  tick(): void {
    stopTicking(this);
    void this.signal;
    this.onSlow?.();
  }

  /** The client has gone. */
  leave(): void {
    this.#gone?.abort();
    if (!this.#answered) this.#onGone();
  }

  /** The answer begins: from here on its stream tells when the client goes away. */
  answered(): void {
    stopTicking(this);
    this.#answered = true;
  }

  /** Reads the body, unless that has been done. */
  async readBody(): Promise<void> {
    this.#source ??= await this.#read();
  }

  get body(): Body {
    if (this.#body === undefined) {
      if (this.#source === undefined) {
        throw new Error(
          "The body of a stranger is not read. Give the plugin a higher number than the one that " +
            'provides "caller"',
        );
      }
      if (!(this.#source instanceof Uint8Array)) throw this.#source;
      try {
        this.#body = parsers[this.path](this.#source);
      } catch (error) {
        this.#body = toRouterError(error, "body");
      }
    }
    if (this.#body instanceof Error) throw this.#body;
    return this.#body;
  }

  /** Counts a try's answer from now on, and none that is over: whoever pays for it knows by now. */
  produces(attempt: Attempt, tally: Tally): void {
    for (const each of this.#producing.keys()) {
      if (each.durationMs !== undefined) this.#producing.delete(each);
    }
    this.#producing.set(attempt, tally);
  }

  async producedTokens(except?: ReadonlySet<Attempt>): Promise<number> {
    let tokens = 0;
    for (const [attempt, tally] of this.#producing) {
      if (!except?.has(attempt)) tokens += await tally.soFar();
    }
    return tokens;
  }

  get parsedBody(): Body | undefined {
    if (this.#source === undefined) return undefined;
    try {
      return this.body;
    } catch {
      return undefined;
    }
  }
}
