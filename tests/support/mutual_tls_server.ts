/** A GigaChat that knows its clients by their certificates, as a company's own installation does. */
import type { IncomingMessage } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";

const fixtures = new URL("../fixtures/gigachat/", import.meta.url);

/** The path of a file of the fixtures. */
export function fixture(name: string): string {
  return new URL(name, fixtures).pathname;
}

/** One call as the server saw it. */
export interface CertifiedCall {
  readonly path: string;
  /** Whom the client's certificate names; `undefined` without one. */
  readonly client: string | undefined;
  readonly authorization: string | undefined;
}

/** A running server. */
export class MutualTlsServer implements AsyncDisposable {
  readonly calls: CertifiedCall[] = [];
  readonly #server;

  /** @param answers What to answer, by path; the rest is a 404. */
  constructor(answers: Readonly<Record<string, unknown>>) {
    const read = (name: string) => Deno.readTextFileSync(fixture(name));
    const options = {
      cert: read("test_server.pem"),
      key: read("test_server_key.pem"),
      ca: read("test_client_ca.pem"),
      requestCert: true,
      // As nginx does it, who is not known is told so by a page.
      rejectUnauthorized: false,
    };
    this.#server = createServer(options, (request, response) => {
      const path = request.url ?? "";
      const { client, refusal } = look(request);
      this.calls.push({ path, client, authorization: request.headers.authorization });
      const { [path]: answer } = answers;
      response.statusCode = refusal ? 400 : answer === undefined ? 404 : 200;
      response.setHeader("content-type", refusal ? "text/html" : "application/json");
      response.setHeader("connection", "close");
      response.end(refusal ?? JSON.stringify(answer ?? { status: 404, message: "No such model" }));
    });
  }

  /** Starts one on 127.0.0.1. */
  static async start(answers: Readonly<Record<string, unknown>>): Promise<MutualTlsServer> {
    const server = new MutualTlsServer(answers);
    await new Promise<void>((resolve) => server.#server.listen(0, "127.0.0.1", resolve));
    return server;
  }

  /** Where it listens. */
  get origin(): string {
    return `https://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function look(request: IncomingMessage): { client: string | undefined; refusal?: string } {
  const socket = request.socket as TLSSocket;
  const client = socket.getPeerCertificate()?.subject?.CN as string | undefined;
  const page = (title: string) => `<html><head><title>400 ${title}</title></head></html>`;
  if (client === undefined) {
    return { client, refusal: page("No required SSL certificate was sent") };
  }
  return socket.authorized ? { client } : { client, refusal: page("The SSL certificate error") };
}
