/**
 * A vendor that misbehaves as it is told: the model's name is the fault.
 *
 * @module
 */
import { type AddressInfo, createServer, type Socket } from "node:net";
import { Answer } from "./answer.ts";
import { scripts } from "./scripts.ts";
import { VendorCall, VendorSocket } from "./vendor_call.ts";

/** One call in the vendor's own log. */
export interface LoggedCall {
  /** The vendor's name. */
  readonly vendor: string;
  /** The model that was asked for. */
  readonly model: string;
  /** When it came, by `performance.now()`. */
  readonly at: number;
  /** The request ended with an answer that has begun. */
  readonly prefilled: boolean;
}

/** A running vendor. */
export class FaultVendor implements AsyncDisposable {
  readonly #name: string;
  readonly #promptTokens: number;
  readonly #server = createServer((socket) => this.#accept(socket));
  readonly #sockets = new Set<Socket>();
  readonly #log = new Map<string, LoggedCall[]>();
  readonly #serving = new Set<Promise<void>>();
  #open = 0;
  /** The most calls that were being answered at a time. */
  mostOpen = 0;

  private constructor(name: string, promptTokens: number) {
    this.#name = name;
    this.#promptTokens = promptTokens;
  }

  /**
   * Starts one on 127.0.0.1.
   *
   * @param name Its name: its answers say `name-model`.
   * @param promptTokens What it counts for any prompt.
   * @param port A free one where absent.
   */
  static async start(name: string, promptTokens: number, port = 0): Promise<FaultVendor> {
    const vendor = new FaultVendor(name, promptTokens);
    await new Promise<void>((resolve) => vendor.#server.listen(port, "127.0.0.1", resolve));
    return vendor;
  }

  /** Its port. */
  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Its base URL. */
  get url(): string {
    return `http://127.0.0.1:${this.port}/v1`;
  }

  /** The calls of one run, in the order in which they came; a TLS greeting belongs to the run "". */
  callsOf(run: string): readonly LoggedCall[] {
    return this.#log.get(run) ?? [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
    await Promise.all(this.#serving);
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    const serving = this.#serve(new VendorSocket(socket));
    this.#serving.add(serving);
    void serving.finally(() => this.#serving.delete(serving));
  }

  async #serve(socket: VendorSocket): Promise<void> {
    for (;;) {
      const request = await socket.request();
      if (request === undefined) return;
      if (request.method === "TLS") {
        this.#note("", "tls", false);
        return await socket.gone;
      }
      const { body } = request;
      if (body === undefined) {
        await socket.send(
          "HTTP/1.1 200 Lab\r\ncontent-type: application/json\r\ncontent-length: 27\r\n\r\n" +
            '{"object":"list","data":[]}',
        );
        continue;
      }
      const { model } = body;
      const earlier = this.#note(body.lab?.run ?? "", model, body.messages.at(-1)!.role !== "user");
      const call = new VendorCall({
        body,
        socket,
        number: earlier.length + 1,
        sinceFirst: performance.now() - (earlier[0]?.at ?? performance.now()),
      });
      const script = scripts[model];
      this.mostOpen = Math.max(this.mostOpen, ++this.#open);
      if (script === undefined) await call.refuse(404, "model_not_found", `No model "${model}"`);
      else await script(call, new Answer(`${this.#name}-${model}`, this.#promptTokens));
      this.#open--;
    }
  }

  /** Logs a call. @returns The run's calls of this model before it. */
  #note(run: string, model: string, prefilled: boolean): LoggedCall[] {
    const calls = this.#log.get(run) ?? [];
    const earlier = calls.filter((call) => call.model === model);
    calls.push({ vendor: this.#name, model, at: performance.now(), prefilled });
    this.#log.set(run, calls);
    return earlier;
  }
}
