/**
 * `GET /v1/models` and `GET /v1/models/{id}`: the models that a key may use.
 *
 * @module
 */
import { zValidator } from "@hono/zod-validator";
import { Hono } from "hono";
import { z } from "zod";
import { type AllowedRoute, listAllowed, resolveAllowed } from "./allowed_models.ts";
import type { Catalog, CatalogModel } from "./catalog.ts";
import type { ModelFacts } from "./model.ts";
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
    const data = [...names.map(describeRoute), ...models.map(describe)];
    return c.json({ object: "list", data });
  });
  routes.get("/v1/models/:id{.+}", zValidator("param", modelId, refuseInvalid), async (c) => {
    const { id } = c.req.valid("param");
    const [target] = await resolveAllowed(catalog, [id], c.get("caller"));
    return c.json(
      catalog.routes.has(id) ? describeRoute({ id, target }) : describe({ id, ...target! }),
    );
  });
  return routes;
}

/** A route as its first model; one whose models cannot be used now is only named. */
function describeRoute({ id, target }: AllowedRoute): Record<string, unknown> {
  return describe({ id, provider: "xrouter", facts: target?.facts ?? {} });
}

/** A model with what is known of it, in OpenRouter's words where it has one. */
function describe(
  { id, provider, facts }: Pick<CatalogModel, "id" | "provider" | "facts">,
): Record<string, unknown> {
  return {
    id,
    object: "model",
    created: 0,
    owned_by: provider,
    context_length: facts.context,
    max_output_tokens: facts.maxOutput,
    architecture: architectureOf(facts),
    supported_parameters: parametersOf(facts),
    region: facts.region,
    price: facts.price,
  };
}

function architectureOf({ kind, images }: ModelFacts): Record<string, unknown> | undefined {
  if (kind === undefined && images === undefined) return undefined;
  return {
    input_modalities: images ? ["text", "image"] : images === false ? ["text"] : undefined,
    output_modalities: kind && [kind === "chat" ? "text" : kind],
  };
}

function parametersOf({ parameters, tools }: ModelFacts): string[] | undefined {
  if (parameters === undefined && tools === undefined) return undefined;
  return [...parameters ?? [], ...tools ? ["tools", "tool_choice"] : []];
}
