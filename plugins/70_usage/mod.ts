/**
 * Tells clients what they used: `GET /v1/usage`, `/v1/generation`, `/v1/key`, `/v1/keys` and
 * `/v1/credits`.
 *
 * @module
 */
import { zValidator } from "@hono/zod-validator";
import { Hono, type MiddlewareHandler } from "hono";
import { definePlugin, RouterError } from "xrouter/plugin";
import { z } from "zod";
import { refuseInvalid } from "../../core/refuse_invalid.ts";
import { AccountStore } from "../../core/ledger/accounts.ts";
import { type ApiKey, KeyStore } from "../../core/store/keys.ts";
import { UsageStore } from "../../core/report/usage_store.ts";
import { toGeneration } from "./generation.ts";
import { checkKnown, filterOf, usageQuery } from "./query.ts";
import { reportRequests, reportTotals } from "./report.ts";
import { allCredits, readStandings, toCredits, toKey, toListed } from "./standing.ts";

/** Behind {@linkcode known} somebody asks. */
interface KnownEnv {
  Variables: { caller: ApiKey };
}

const generationQuery = z.object({
  id: z.string({ error: "must be the x-request-id of an answer" })
    .max(64, { error: "must have at most 64 characters" }),
});

const keyQuery = z.object({
  key: z.string({ error: "must be given once" }).max(64, { error: "must be a key's id" })
    .optional(),
});

/** Keys of one page, as at OpenRouter. */
const pageKeys = 100;

const offsetError = "must be a whole number: how many keys come before";

const keysQuery = z.object({
  offset: z.string({ error: offsetError }).regex(/^\d{1,9}$/, { error: offsetError })
    .transform(Number).default(0),
});

export default definePlugin({
  name: "usage",
  requires: ["caller"],
  setup(_config, { database, currency }) {
    const usage = new UsageStore(database);
    const accounts = new AccountStore(database);
    const keys = new KeyStore(database);
    const routes = new Hono<KnownEnv>();

    routes.get("/usage", known, zValidator("query", usageQuery, refuseInvalid), async (c) => {
      const query = c.req.valid("query");
      const filter = filterOf(query, c.get("caller"), Date.now());
      await checkKnown(accounts, query);
      const write = query.rows ? reportRequests : reportTotals;
      const report = await write(usage, filter, query, currency);
      if ("json" in report) return c.json(report.json);
      if (report.next) c.header("x-xrouter-next", report.next);
      return c.body(report.csv, 200, { "content-type": "text/csv; charset=utf-8" });
    });

    routes.get(
      "/generation",
      known,
      zValidator("query", generationQuery, refuseInvalid),
      async (c) => {
        const { id } = c.req.valid("query");
        const caller = c.get("caller");
        const row = await usage.one(id);
        if (row === undefined || !(caller.admin || row.keyId === caller.id)) {
          throw new RouterError("not_found", `This key has made no request "${id}"`, {
            param: "id",
          });
        }
        return c.json({ data: toGeneration(row, await usage.tries(id)) });
      },
    );

    /** The key that is asked about: the caller's own, or for an admin key any other. */
    const asked = async (caller: ApiKey, id: string | undefined): Promise<ApiKey> => {
      if (id === undefined || id === caller.id) return caller;
      if (!caller.admin) {
        throw new RouterError("forbidden", '"key" is for admin keys only; leave it out', {
          param: "key",
        });
      }
      const key = (await keys.list()).find((each) => each.id === id);
      if (key === undefined) {
        throw new RouterError("not_found", '"key" is none that XRouter knows', { param: "key" });
      }
      return key;
    };

    routes.get("/key", known, zValidator("query", keyQuery, refuseInvalid), async (c) => {
      const key = await asked(c.get("caller"), c.req.valid("query").key);
      const [standings] = await readStandings({ usage, accounts }, [key]);
      return c.json({ data: { ...toKey(key, standings!), currency } });
    });

    routes.get("/keys", known, zValidator("query", keysQuery, refuseInvalid), async (c) => {
      if (!c.get("caller").admin) {
        throw new RouterError("forbidden", "Keys are listed to admin keys only; ask for /v1/key");
      }
      const { offset } = c.req.valid("query");
      const page = (await keys.list()).slice(offset, offset + pageKeys);
      const standings = await readStandings({ usage, accounts }, page);
      return c.json({ data: page.map((key, i) => toListed(key, standings[i]!)), currency });
    });

    routes.get("/credits", known, zValidator("query", keyQuery, refuseInvalid), async (c) => {
      const caller = c.get("caller");
      const { key: id } = c.req.valid("query");
      if (caller.admin && id === undefined) {
        return c.json({ data: { ...await allCredits(accounts), currency } });
      }
      const [standings] = await readStandings({ usage, accounts }, [await asked(caller, id)]);
      return c.json({ data: { ...toCredits(standings!), currency } });
    });

    return {
      routes(app) {
        app.route("/v1", routes);
      },
    };
  },
});

/** Refuses where nobody has said who asks: another plugin may have taken the place of `auth`. */
const known: MiddlewareHandler<KnownEnv> = async (c, next) => {
  if (c.get("caller") === undefined) {
    throw new RouterError("unauthorized", "Usage is told to those who send an API key");
  }
  await next();
};
