/**
 * What is under way for one exchange, so that it can be ended from outside.
 *
 * @module
 */
import type { Path } from "./body.ts";
import { RouterError } from "./errors.ts";
import { LiveExchange, type ReadBody } from "./exchange.ts";
import type { Generation } from "./generation.ts";
import { defaultEncoding, inputTokens } from "./input_tokens.ts";
import type { Attempt } from "./plugin.ts";
import type { Listed } from "./roster.ts";
import { Alarm } from "./ticker.ts";

/** An exchange under way. The step that runs says how it is ended. */
export class Flight implements Listed {
  place: number | undefined;
  readonly x: LiveExchange;
  readonly generation: Generation;
  /** What the running step does when the client goes. */
  onGone?: () => void;
  /** Ends the running step, for a reason that lies outside. */
  onStop?: (reason: RouterError) => void;
  /** Its answer has begun: the relay settles it. */
  relayed = false;
  /** Tries that are being ended, and what they used is being counted. */
  readonly unsettled: Promise<void>[] = [];
  /** It is over, and the plugins have been told. */
  finished = false;
  /** Settles when it is over and recorded, for those who wait for that. */
  over?: PromiseWithResolvers<void>;
  #gone = false;
  #stopped: RouterError | undefined;

  /**
   * @param request The client's request.
   * @param path What is asked for.
   * @param read Reads its body.
   * @param generation What it keeps.
   */
  constructor(
    request: Request,
    path: Path,
    read: ReadBody,
    generation: Generation,
  ) {
    this.generation = generation;
    this.x = new LiveExchange(request, path, read, () => this.leave());
  }

  /** The client has gone. */
  get gone(): boolean {
    return this.#gone;
  }

  /** The client wants a stream. */
  get streamed(): boolean {
    return this.x.body.stream === true;
  }

  /** Tokens of the request, as a try's model counts them, and of what the try adds to it. */
  async inputOf(attempt?: Attempt): Promise<number> {
    const encoding = attempt?.target.facts.encoding ?? defaultEncoding;
    return await inputTokens(this.x, encoding) + (attempt?.prefilled ?? 0);
  }

  /** Nobody waits for another call to a provider. */
  get unwanted(): boolean {
    return this.#gone || this.#stopped !== undefined;
  }

  /** @throws {RouterError} when nobody waits for another call to a provider. */
  checkWanted(): void {
    const reason = this.#whyUnwanted;
    if (reason !== undefined) throw reason;
  }

  get #whyUnwanted(): RouterError | undefined {
    return this.#gone ? clientClosed() : this.#stopped;
  }

  /**
   * What a plugin promises, unless the exchange has to end first; the plugin may not heed that.
   *
   * @param what What is waited for, for the message.
   * @throws {RouterError} `timeout` after the exchange's time; `aborted` once the client has gone; the
   * reason of its end from outside.
   */
  async wait<T>(work: PromiseLike<T>, what: string): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    work.then(resolve, reject);
    const unwanted = this.#whyUnwanted;
    if (unwanted !== undefined) reject(unwanted);
    const end = this.x.startedTick + this.generation.time;
    const alarm = new Alarm(
      end - performance.now(),
      () => reject(new RouterError("timeout", `The request took too long: ${what} did not return`)),
    );
    const leave = () => reject(clientClosed());
    this.onStop = reject;
    this.onGone = leave;
    try {
      return await promise;
    } finally {
      alarm.stop();
      delete this.onStop;
      delete this.onGone;
    }
  }

  /** Ends it from outside. */
  stop(reason: RouterError): void {
    this.#stopped = reason;
    this.onStop?.(reason);
  }

  /** Notes that the client has gone. */
  leave(): void {
    if (this.finished || this.#gone) return;
    this.#gone = true;
    this.onGone?.();
  }
}

/** The error of an exchange whose client went away. */
export function clientClosed(cause?: unknown): RouterError {
  return new RouterError("aborted", "The client closed the connection", { cause });
}
