/** A vendor that speaks OpenAI's wire, on 127.0.0.1. */
export interface FakeVendor extends AsyncDisposable {
  /** Its address without a path. */
  readonly origin: string;
}

/**
 * Starts a vendor.
 *
 * @param models Answers `GET /v1/models`; by default it lists `one` and `two` to the key `sk-right`.
 * @param date The `date` of every answer.
 */
export function startVendor(
  models: (request: Request) => Response = listTwo,
  date: Date = new Date(),
): FakeVendor {
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const response = new URL(request.url).pathname === "/v1/models"
      ? models(request)
      : new Response("nothing here", { status: 404 });
    response.headers.set("date", date.toUTCString());
    return response;
  });
  return {
    origin: `http://127.0.0.1:${server.addr.port}`,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

/** Refuses a wrong key as some vendors do: by repeating it. */
function listTwo(request: Request): Response {
  const given = request.headers.get("authorization");
  if (given !== "Bearer sk-right") {
    const message = `Wrong key: ${given}`;
    return Response.json({ error: { message, code: "invalid_api_key" } }, { status: 401 });
  }
  return Response.json({ data: [{ id: "one" }, { id: "two" }] });
}
