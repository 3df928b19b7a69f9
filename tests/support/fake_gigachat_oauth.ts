/** The fake GigaChat's sign-in: keys, scopes, and tokens that end. */

/** What the fake's one key is, and what tokens it gets. */
export interface FakeAccount {
  /** The authorization key: the base64 of `client id:client secret`. */
  credentials: string;
  /** The scope the key belongs to. */
  scope: string;
  /** Milliseconds a token lives; may be changed while the fake runs. */
  tokenLifetimeMs: number;
  /** The answer's shape: `expires_at` in milliseconds or in seconds, or `{tok, exp}`. */
  tokenShape: "milliseconds" | "seconds" | "tok";
}

const scopes = ["GIGACHAT_API_PERS", "GIGACHAT_API_B2B", "GIGACHAT_API_CORP"];
const uuid4 = /^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/i;

/** Issues tokens and knows which are good. */
export class FakeOauth {
  readonly account: FakeAccount;
  readonly #ends = new Map<string, number>();
  /** How many tokens were issued. */
  issued = 0;

  constructor(account: FakeAccount) {
    this.account = account;
  }

  /** `POST /api/v2/oauth`. */
  answer(request: Request, body: string): Response {
    const refuse = (status: number, code: number, message: string) =>
      Response.json({ code, message }, { status });
    const { headers } = request;
    if (!uuid4.test(headers.get("rquid") ?? "")) return new Response(null, { status: 400 });
    const scope = new URLSearchParams(body).get("scope");
    if (
      headers.get("content-type") !== "application/x-www-form-urlencoded" || scope === null ||
      scope === ""
    ) return refuse(400, 5, "scope is empty");
    if (!scopes.includes(scope)) return refuse(400, 1, "scope data format invalid");
    const key = /^Basic ([A-Za-z0-9+/]+={0,2})$/.exec(headers.get("authorization") ?? "")?.[1];
    // The documents say 401; recorded logs show 400.
    if (key === undefined) return refuse(400, 4, "Can't decode 'Authorization' header");
    if (key !== this.account.credentials) {
      return refuse(401, 6, "credentials doesn't match db data");
    }
    if (scope !== this.account.scope) {
      return refuse(400, 7, "scope from db not fully includes consumed scope");
    }
    return Response.json(this.#issue());
  }

  /** @returns Why a call's token is refused; `undefined` for a good one. */
  refusal(headers: Headers): string | undefined {
    const ends = this.#ends.get(
      /^Bearer (.+)$/.exec(headers.get("authorization") ?? "")?.[1] ?? "",
    );
    if (ends === undefined) return "Unauthorized";
    return ends > Date.now() ? undefined : "Token has expired";
  }

  /** Lets every token end now, whatever was promised. */
  expireTokens(): void {
    for (const token of this.#ends.keys()) this.#ends.set(token, 0);
  }

  #issue(): unknown {
    this.issued++;
    const token = `fake.${"x".repeat(1000)}.${this.issued}`;
    const ends = Date.now() + this.account.tokenLifetimeMs;
    this.#ends.set(token, ends);
    switch (this.account.tokenShape) {
      case "milliseconds":
        return { access_token: token, expires_at: ends };
      case "seconds":
        return { access_token: token, expires_at: Math.floor(ends / 1000) };
      case "tok":
        return { tok: token, exp: Math.floor(ends / 1000) };
    }
  }
}
