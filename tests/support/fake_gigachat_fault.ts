/** The fake GigaChat's answers that are no answers. */

/** An answer in place of the right one. */
export type FakeFault =
  | { status: number; body?: unknown; headers?: Record<string, string> }
  /** Accepts the request and never answers. */
  | "silence";

/** A refusal in GigaChat's shape. */
export function refuse(status: number, message: string): Response {
  return Response.json({ status, message }, { status });
}

/**
 * Answers with a fault.
 *
 * @param signal Fires when the client goes away.
 */
export async function faultResponse(fault: FakeFault, signal: AbortSignal): Promise<Response> {
  if (fault === "silence") {
    const { promise, resolve } = Promise.withResolvers<Response>();
    signal.addEventListener("abort", () => resolve(new Response(null, { status: 499 })));
    return await promise;
  }
  const { status, body = { status, message: usualMessages[status] ?? "Error" }, headers } = fault;
  return typeof body === "string"
    ? new Response(body, { status, headers: { "content-type": "text/html", ...headers } })
    : Response.json(body, { status, ...(headers && { headers }) });
}

const usualMessages: Readonly<Record<number, string>> = {
  401: "Unauthorized",
  402: "Payment Required",
  403: "Permission denied",
  404: "No such model",
  413: "Payload too large",
  429: "Too many requests",
  500: "Internal Server Error",
};

/** The edge's answer to a path that is not there. */
export function forbidden(): Response {
  const page =
    "<html>\r\n<head><title>403 Forbidden</title></head>\r\n<body>nginx</body>\r\n</html>";
  return new Response(page, { status: 403, headers: { "content-type": "text/html" } });
}
