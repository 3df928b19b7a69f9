/** An HTTP proxy that leads every CONNECT to one port here, so that tests reach names they do not own. */
export class ConnectProxy implements Disposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #target: number;
  readonly #open = new Set<Deno.Conn>();

  /** @param target The port that every tunnel ends at. */
  constructor(target: number) {
    this.#target = target;
    void this.#accept();
  }

  /** The proxy's address, for `Deno.createHttpClient({ proxy: { url } })`. */
  get url(): string {
    return `http://127.0.0.1:${this.#listener.addr.port}`;
  }

  [Symbol.dispose](): void {
    this.#listener.close();
    for (const connection of this.#open) {
      try {
        connection.close();
      } catch {
        // The other side was faster.
      }
    }
  }

  async #accept(): Promise<void> {
    for await (const client of this.#listener) void this.#tunnel(client);
  }

  async #tunnel(client: Deno.Conn): Promise<void> {
    const server = await Deno.connect({ hostname: "127.0.0.1", port: this.#target });
    this.#open.add(client).add(server);
    // The request for the tunnel fits into one read, and the client says no more until it is granted.
    await client.read(new Uint8Array(4096));
    await client.write(new TextEncoder().encode("HTTP/1.1 200 OK\r\n\r\n"));
    await Promise.allSettled([
      client.readable.pipeTo(server.writable),
      server.readable.pipeTo(client.writable),
    ]);
  }
}
