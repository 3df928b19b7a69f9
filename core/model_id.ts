/**
 * The ids of models: as clients write them, and as their vendor does.
 *
 * @module
 */
import type { Provider } from "./provider.ts";
import { fill, placesOf, readFilled } from "./template.ts";

type Settings = Readonly<Record<string, unknown>>;

/**
 * The ids that a pattern stands for, as shells expand braces: `gpt{,-lite}` is `gpt` and `gpt-lite`.
 */
export function expandIds(pattern: string): string[] {
  const [, before, choices, after] = /^(.*?)\{([^{}]*)\}(.*)$/.exec(pattern) ?? [];
  if (choices === undefined) return [pattern];
  return choices.split(",").flatMap((choice) => expandIds(`${before}${choice}${after}`));
}

/**
 * The vendor's id of a model that clients name, or call by a URI of the vendor's.
 *
 * @param form The form of its ids, a URI or `{model}`; see `modelUri` of {@linkcode Provider}.
 */
export function toVendorId(
  model: string,
  form: string,
  settings: Settings,
  renamed: Provider["renamed"] = {},
): string {
  if (model.includes("://")) return model;
  const end = placesOf(form).includes("version") ? model.search(/[:/]/) : -1;
  const name = end < 0 ? model : model.slice(0, end);
  const version = end < 0 ? undefined : model.slice(end + 1);
  const current = Object.hasOwn(renamed, name) ? renamed[name] : name;
  return fill(form, { ...settings, model: current, version });
}

/**
 * The id by which clients name a model of the vendor's list, whether it is for chats or embeddings.
 *
 * @returns `undefined` for an id of another form.
 */
export function listedId(
  id: string,
  { modelUri, embeddings }: Pick<Provider, "modelUri" | "embeddings">,
  settings: Settings,
): string | undefined {
  const forms = [modelUri, embeddings?.modelUri].filter((form) => form !== undefined);
  if (forms.length === 0) return id;
  return forms.map((form) => toClientId(id, form, settings)).find((name) => name !== undefined);
}

/** The name and, behind a colon, a version other than the default; all of it for other settings. */
function toClientId(id: string, form: string, settings: Settings): string | undefined {
  const found = readFilled(form, id);
  if (found === undefined) return undefined;
  const { model, version, ...own } = found;
  if (Object.keys(own).some((field) => own[field] !== settings[field])) return id;
  if (version === undefined || toVendorId(model!, form, settings) === id) return model;
  return `${model}:${version}`;
}
