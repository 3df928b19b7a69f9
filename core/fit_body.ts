/**
 * A request as its vendor takes it, as far as the provider declares that without code.
 *
 * @module
 */
import { type Body, isChat } from "./body.ts";
import { toVendorId } from "./model_id.ts";
import type { Call, Provider } from "./provider.ts";

/**
 * Puts the vendor's id of the model in, and takes values out that the vendor does not know.
 *
 * @returns The body itself where it stays as it is.
 * @throws {RouterError} `invalid_request` for such a value, where the policy is to refuse.
 */
export function fitBody<Sent extends Body>(
  body: Sent,
  { name, modelUri = "{model}", renamed, accepts = {}, embeddings }: Provider,
  { settings, cannotKeep }: Pick<Call, "settings" | "cannotKeep">,
): Sent {
  const chat = isChat(body);
  const form = chat ? modelUri : embeddings?.modelUri ?? modelUri;
  const model = toVendorId(body.model, form, settings, renamed);
  const fitted: Sent & Record<string, unknown> = model === body.model ? body : { ...body, model };
  const unknown = Object.entries(chat ? accepts : {}).filter(([field, known]) => {
    const value = fitted[field];
    return value !== undefined && value !== null && !known.includes(value as string);
  });
  if (unknown.length === 0) return fitted;
  const kept = { ...fitted };
  for (const [field, known] of unknown) {
    const words = known.map((each) => `"${each}"`).join(" or ");
    cannotKeep(field, `must be ${words} at provider "${name}"`);
    delete kept[field];
  }
  return kept;
}
