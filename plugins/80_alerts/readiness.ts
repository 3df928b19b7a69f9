/**
 * Sees when XRouter cannot work, such as when nothing can be recorded: by what `GET /ready` answers.
 *
 * @module
 */
import type { Hono } from "hono";
import type { AlertBoard } from "./board.ts";

/** Looks in a row that must agree: a write that failed once is tried again at once. */
const enough = 2;

/** Watches the answer of `GET /ready`. */
export class Readiness {
  readonly #app: Hono;
  readonly #board: AlertBoard;
  #failed = "";
  #looks = 0;

  /**
   * @param app Has the route; it is asked without a socket.
   * @param board Is told.
   */
  constructor(app: Hono, board: AlertBoard) {
    this.#app = app;
    this.#board = board;
  }

  /** Asks once. */
  async look(): Promise<void> {
    const response = await this.#app.request("/ready");
    const { failed = [] } = await response.json() as { failed?: string[] };
    const names = failed.join(", ");
    const isSame = (names === "") === (this.#failed === "");
    this.#looks = isSame ? this.#looks + 1 : 1;
    this.#failed = names;
    if (this.#looks < enough) return;
    this.#board.report("readiness", "", names !== "", { failed: names });
  }
}
