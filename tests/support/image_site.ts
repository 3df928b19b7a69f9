/**
 * A site of images on the loopback. As long as it runs, every guarded fetch may reach it, and nothing
 * else.
 *
 * @module
 */
import { GuardedFetch } from "../../core/guarded_fetch.ts";
import { imagePart, png } from "./files.ts";

/** A running site. Whatever its path is, an image answers, by that name. */
export class ImageSite implements AsyncDisposable {
  /** The names of the images that were asked for, oldest first. */
  readonly asked: string[] = [];
  /** Answers in place of an image, or makes it wait; may be changed at any time. */
  answer: (name: string) => Response | undefined | Promise<Response | undefined> = () => undefined;
  /** How many were left before they were answered. */
  left = 0;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #get = GuardedFetch.prototype.get;
  #next = Promise.withResolvers<void>();

  /** Starts it. */
  constructor() {
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      (request) => this.#serve(request),
    );
    const { port } = this.#server.addr;
    const guard = new GuardedFetch({
      isAllowed: (address) => address === "127.0.0.1",
      ports: [port],
    });
    const get = this.#get;
    GuardedFetch.prototype.get = (address, limits) => get.call(guard, address, limits);
  }

  /** An image of it, as a part of a message. */
  image(name: string): ReturnType<typeof imagePart> {
    return imagePart(`http://127.0.0.1:${this.#server.addr.port}/${name}`);
  }

  /** Waits for the next request, or for the next one that is left. */
  next(): Promise<void> {
    return this.#next.promise;
  }

  async #serve(request: Request): Promise<Response> {
    const name = new URL(request.url).pathname.slice(1);
    request.signal.addEventListener("abort", () => {
      this.left++;
      this.#tell();
    });
    this.asked.push(name);
    this.#tell();
    return await this.answer(name) ?? new Response(png(name));
  }

  #tell(): void {
    this.#next.resolve();
    this.#next = Promise.withResolvers();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    GuardedFetch.prototype.get = this.#get;
    await this.#server.shutdown();
  }
}
