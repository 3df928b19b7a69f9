/**
 * Tells clients what they used: `GET /v1/usage`, `/v1/generation`, `/v1/key` and `/v1/credits`.
 *
 * @module
 */
import { zValidator } from "@hono/zod-validator";
import { Hono, type MiddlewareHandler } from "hono";
import { definePlugin, RouterError } from "xrouter/plugin";
import { z } from "zod";
import { refuseInvalid } from "../../core/refuse_invalid.ts";
import { AccountStore } from "../../core/ledger/accounts.ts";
import type { ApiKey } from "../../core/store/keys.ts";
import { UsageStore } from "../../core/report/usage_store.ts";
import { toGeneration } from "./generation.ts";
import { checkKnown, filterOf, usageQuery } from "./query.ts";
import { reportRequests, reportTotals } from "./report.ts";
import { readStandings, toCredits, toKey } from "./standing.ts";

/** `auth` guards every route under `/v1` and says who asks. */
interface CallerEnv {
  Variables: { caller: ApiKey };
}

const generationQuery = z.object({
  id: z.string({ error: "must be the x-request-id of an answer" })
    .max(64, { error: "must have at most 64 characters" }),
});

export default definePlugin({
  name: "usage",
  requires: ["caller"],
  setup(_config, { database, currency }) {
    const usage = new UsageStore(database);
    const accounts = new AccountStore(database);
    const routes = new Hono<CallerEnv>();

    routes.get("/usage", known, zValidator("query", usageQuery, refuseInvalid), async (c) => {
      const query = c.req.valid("query");
      const filter = filterOf(query, c.get("caller"), Date.now());
      await checkKnown(accounts, query);
      const write = query.rows ? reportRequests : reportTotals;
      const report = await write(usage, filter, query, currency);
      return "csv" in report
        ? c.body(report.csv, 200, { "content-type": "text/csv; charset=utf-8" })
        : c.json(report.json);
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
        return c.json({ data: toGeneration(row) });
      },
    );

    routes.get("/key", known, async (c) => {
      const caller = c.get("caller");
      const standings = await readStandings({ usage, accounts }, caller);
      return c.json({ data: { ...toKey(caller, standings), currency } });
    });

    routes.get("/credits", known, async (c) => {
      const standings = await readStandings({ usage, accounts }, c.get("caller"));
      return c.json({ data: { ...toCredits(standings), currency } });
    });

    return {
      routes(app) {
        app.route("/v1", routes);
      },
    };
  },
});

/** Refuses where nobody has said who asks: another plugin may have taken the place of `auth`. */
const known: MiddlewareHandler<CallerEnv> = async (c, next) => {
  if (c.get("caller") === undefined) {
    throw new RouterError("unauthorized", "Usage is told to those who send an API key");
  }
  await next();
};
