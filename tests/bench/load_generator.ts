import { setTimeout as delay } from "node:timers/promises";
import { checkAnswer, checkEvents, CLOSING_EVENTS, requestBody } from "./conversation.ts";
import { EventReader } from "./event_reader.ts";
import { HttpConnection } from "./http_connection.ts";

/** Where and how one gateway is asked for chat completions. */
export interface Endpoint {
  /** Port on 127.0.0.1. */
  port: number;
  /** The model's name at this gateway. */
  model: string;
  /** Headers besides Host, Content-Type and Content-Length. */
  headers: Record<string, string>;
}

/** What a slice of load brought. */
export interface Load {
  /** Requests answered, or events delivered. */
  count: number;
  /** From the first request to the last answer. */
  seconds: number;
}

/** A slice may take this much longer than planned before its connections are closed. */
const GRACE_SECONDS = 30;

/**
 * Puts load on one gateway and checks every answer. A wrong answer ends its connection, and the
 * slice fails with the number of connections that it happened on.
 */
export class LoadGenerator {
  readonly #endpoint: Endpoint;
  readonly #encoder = new TextEncoder();
  readonly #decoder = new TextDecoder();
  #serial = 0;

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint;
  }

  /** Closed loop: every connection asks again as soon as it is answered. */
  async saturate(connections: number, seconds: number): Promise<Load> {
    return await this.#onEach(connections, seconds, async (connection, _index, until) => {
      let count = 0;
      for (; performance.now() < until; count++) await this.#ask(connection);
      return count;
    });
  }

  /**
   * Open loop: requests leave at even distances, `rate` a second, over connections in turn.
   *
   * @returns The latency of every request in milliseconds. Where a connection was still waiting
   * when its next request was due, the latency counts from that moment, so that a stall is not
   * hidden by the requests it kept back.
   */
  async keepRate(connections: number, rate: number, seconds: number): Promise<number[]> {
    const latencies: number[] = [];
    const distance = 1000 / rate;
    await this.#onEach(connections, seconds, async (connection, index, until) => {
      const started = until - seconds * 1000;
      for (let turn = index;; turn += connections) {
        const due = started + turn * distance;
        if (due >= until) return 0;
        const wait = due - performance.now();
        if (wait > 0) await delay(wait);
        const late = wait > 0 ? 0 : -wait;
        latencies.push(late + await this.#ask(connection));
      }
    });
    return latencies;
  }

  /**
   * Closed loop of streams: every connection opens the next when one has ended, until the time is
   * up. Their beginnings are spread over a stream's length.
   */
  async stream(
    { streams, events, eventRate }: { streams: number; events: number; eventRate: number },
    seconds: number,
  ): Promise<Load> {
    return await this.#onEach(streams, seconds, async (connection, index, until) => {
      await delay(1000 * events / eventRate * index / streams);
      let count = 0;
      do {
        await this.#askStream(connection, events);
        count += events + CLOSING_EVENTS;
      } while (performance.now() < until);
      return count;
    });
  }

  async #onEach(
    connections: number,
    seconds: number,
    use: (connection: HttpConnection, index: number, until: number) => Promise<number>,
  ): Promise<Load> {
    const open: HttpConnection[] = [];
    const closeAll = () => open.forEach((connection) => connection.close());
    let watchdog: ReturnType<typeof setTimeout> | undefined;
    try {
      while (open.length < connections) open.push(await HttpConnection.open(this.#endpoint.port));
      watchdog = setTimeout(closeAll, (seconds + GRACE_SECONDS) * 1000);
      const started = performance.now();
      const until = started + seconds * 1000;
      const ended = await Promise.allSettled(open.map((one, index) => use(one, index, until)));
      const elapsed = (performance.now() - started) / 1000;
      const failed = ended.filter((one) => one.status === "rejected");
      if (failed[0] !== undefined) {
        const reason = (failed[0].reason as Error).message;
        throw new Error(`${failed.length} of ${connections} connections failed. ${reason}`);
      }
      const counts = ended.map((one) => one.status === "fulfilled" ? one.value : 0);
      return { count: counts.reduce((sum, count) => sum + count, 0), seconds: elapsed };
    } finally {
      clearTimeout(watchdog);
      closeAll();
    }
  }

  async #ask(connection: HttpConnection): Promise<number> {
    const serial = this.#serial++;
    const request = this.#request(serial, false);
    let body = "";
    const started = performance.now();
    const { status } = await connection.exchange(request, (piece) => {
      body += this.#decoder.decode(piece, { stream: true });
    });
    const latency = performance.now() - started;
    if (status !== 200) throw new Error(`The answer is ${status}: ${body.slice(0, 300)}`);
    checkAnswer(body, serial);
    return latency;
  }

  async #askStream(connection: HttpConnection, events: number): Promise<void> {
    const serial = this.#serial++;
    const reader = new EventReader();
    const data: string[] = [];
    const { status, headers } = await connection.exchange(this.#request(serial, true), (piece) => {
      data.push(...reader.push(piece));
    });
    const type = headers.get("content-type") ?? "";
    if (status !== 200 || !type.startsWith("text/event-stream")) {
      throw new Error(`The answer is ${status} with type "${type}", not a stream`);
    }
    reader.end();
    checkEvents(data, serial, events);
  }

  #request(serial: number, stream: boolean): Uint8Array {
    const { port, model, headers } = this.#endpoint;
    const body = requestBody(model, serial, stream);
    const lines = [
      `POST /v1/chat/completions HTTP/1.1`,
      `Host: 127.0.0.1:${port}`,
      "Content-Type: application/json",
      `Content-Length: ${body.length}`,
      ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    ];
    return this.#encoder.encode(`${lines.join("\r\n")}\r\n\r\n${body}`);
  }
}
