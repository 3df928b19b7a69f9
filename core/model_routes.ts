/**
 * `GET /v1/models` and `GET /v1/models/{id}`: the models that a key may use.
 *
 * @module
 */
import { zValidator } from "@hono/zod-validator";
import { Hono } from "hono";
import { z } from "zod";
import { listAllowed, resolveAllowed } from "./allowed_models.ts";
import type { Catalog, CatalogModel } from "./catalog.ts";
import type { CallerEnv } from "./plugin.ts";
import { refuseInvalid } from "./refuse_invalid.ts";

const modelId = z.object({
  id: z.string().max(256, { error: "must have at most 256 characters" }),
});

/** Makes the routes. */
export function modelRoutes(catalog: Catalog): Hono<CallerEnv> {
  const routes = new Hono<CallerEnv>();
  routes.get("/v1/models", async (c) => {
    const { routes: names, models } = await listAllowed(catalog, c.get("caller"));
    const data = [
      ...names.map((id) => ({ id, object: "model", created: 0, owned_by: "xrouter" })),
      ...models.map(describe),
    ];
    return c.json({ object: "list", data });
  });
  routes.get("/v1/models/:id{.+}", zValidator("param", modelId, refuseInvalid), async (c) => {
    const { id } = c.req.valid("param");
    const [target] = await resolveAllowed(catalog, [id], c.get("caller"));
    const answer = describe({ id, ...target! });
    return c.json(catalog.routes.has(id) ? { ...answer, owned_by: "xrouter" } : answer);
  });
  return routes;
}

function describe({ id, provider, facts }: CatalogModel): Record<string, unknown> {
  return {
    id,
    object: "model",
    created: 0,
    owned_by: provider,
    ...(facts.context !== undefined && { context_length: facts.context }),
    ...(facts.maxOutput !== undefined && { max_output_tokens: facts.maxOutput }),
    ...(facts.price !== undefined && { price: facts.price }),
  };
}
