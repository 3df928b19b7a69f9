/** The fake GigaChat's accounts: keys, scopes, users, and tokens that end. */
import type { FakeFault } from "./fake_gigachat_fault.ts";

/** One of the fake's accounts, and what tokens it gets. Its fields may be changed at any time. */
export interface FakeAccount {
  /** The authorization key: the base64 of `client id:client secret`. */
  credentials: string;
  /** The scope the key belongs to. */
  scope: string;
  /** Milliseconds a token lives; may be changed while the fake runs. */
  tokenLifetimeMs: number;
  /** The answer's shape: `expires_at` in milliseconds, or `{tok, exp}`. */
  tokenShape: "milliseconds" | "tok";
  /** Chats it may run at once, where that is not what holds for all. */
  streams?: number;
  /** What each of its chats gets in place of an answer. */
  refuses?: FakeFault;
  /** What it has left; without it there is no balance, as for those who pay by use. */
  balance?: { usage: string; value: number }[];
  /** Who may sign in by `POST /v1/token`. */
  user?: { name: string; password: string };
}

const scopes = ["GIGACHAT_API_PERS", "GIGACHAT_API_B2B", "GIGACHAT_API_CORP"];
const uuid4 = /^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/i;

/** Issues tokens and knows which are good. */
export class FakeOauth {
  /** The first is the one that most tests use. */
  readonly accounts: [FakeAccount, ...FakeAccount[]];
  readonly #tokens = new Map<string, { account: FakeAccount; ends: number }>();
  /** How many tokens were issued. */
  issued = 0;

  constructor(account: FakeAccount) {
    this.accounts = [account];
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
    const account = this.accounts.find(({ credentials }) => credentials === key);
    if (account === undefined) return refuse(401, 6, "credentials doesn't match db data");
    if (scope !== account.scope) {
      return refuse(400, 7, "scope from db not fully includes consumed scope");
    }
    return Response.json(this.#issue(account, account.tokenShape));
  }

  /** `POST /v1/token`, which corporate installations have. */
  answerUser({ headers }: Request, body: string): Response {
    const key = /^Basic (.+)$/.exec(headers.get("authorization") ?? "")?.[1] ?? "";
    const both = new TextDecoder().decode(Uint8Array.fromBase64(key));
    const account = this.accounts.find(({ user }) =>
      user !== undefined && both === `${user.name}:${user.password}`
    );
    return account === undefined || body !== ""
      ? Response.json({ status: 401, message: "Unauthorized" }, { status: 401 })
      : Response.json(this.#issue(account, "tok"));
  }

  /** @returns Whose token a call has; else why it is refused. */
  caller(headers: Headers): FakeAccount | string {
    const token = this.#tokens.get(
      /^Bearer (.+)$/.exec(headers.get("authorization") ?? "")?.[1] ?? "",
    );
    if (token === undefined) return "Unauthorized";
    return token.ends > Date.now() ? token.account : "Token has expired";
  }

  /** Lets every token end now, whatever was promised. */
  expireTokens(): void {
    for (const token of this.#tokens.values()) token.ends = 0;
  }

  /** A token as `{access_token, expires_at}` or `{tok, exp}`. */
  #issue(account: FakeAccount, shape: FakeAccount["tokenShape"]): unknown {
    this.issued++;
    const token = `fake.${"x".repeat(1000)}.${this.issued}`;
    const ends = Date.now() + account.tokenLifetimeMs;
    this.#tokens.set(token, { account, ends });
    switch (shape) {
      case "milliseconds":
        return { access_token: token, expires_at: ends };
      case "tok":
        return { tok: token, exp: Math.floor(ends / 1000) };
    }
  }

  /** A token that was handed out elsewhere. */
  issueTo(account: FakeAccount): string {
    return (this.#issue(account, "tok") as { tok: string }).tok;
  }
}
