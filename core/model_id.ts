/**
 * The ids of models: as clients write them, and as their vendor does.
 *
 * @module
 */
import type { OfferedModel, Provider } from "./provider.ts";
import { fill, readFilled } from "./template.ts";

type Settings = Readonly<Record<string, unknown>>;

/** The members of a provider that say how its models are called. */
type Forms = Pick<Provider, "modelUri" | "embeddings" | "renamed">;

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
  if (isUri(model)) return model;
  const { name, version } = parse(model, form, renamed);
  // Nearly every vendor's, with each request.
  if (form === "{model}") return name;
  return fill(form, { ...settings, model: name, version });
}

/**
 * The model that a client names: an old name, one with the default version and a URI all lead to the
 * id by which it is listed. A URI also says what the model is for, as {@linkcode listedModel} does.
 *
 * @returns `undefined` for what names no model, such as a version alone.
 */
export function namedModel(
  model: string,
  provider: Forms,
  settings: Settings,
): OfferedModel | undefined {
  if (isUri(model)) return listedModel(model, provider, settings) ?? { id: model };
  const { modelUri: form = "{model}", renamed } = provider;
  const { name, version } = parse(model, form, renamed);
  if (name === "") return undefined;
  const isStandard = version === undefined ||
    fill(form, { model: name, version }) === fill(form, { model: name });
  return { id: isStandard ? name : `${name}:${version}` };
}

/**
 * The id by which clients name a model of the vendor's list. Where chats and embeddings have forms of
 * their own, the one that it has says what it is for.
 *
 * @returns `undefined` for an id of another form.
 */
export function listedModel(
  id: string,
  { modelUri, embeddings }: Forms,
  settings: Settings,
): OfferedModel | undefined {
  const forms = [
    { form: modelUri, kind: "chat" as const },
    { form: embeddings?.modelUri, kind: "embeddings" as const },
  ].filter(({ form }) => form !== undefined);
  if (forms.length === 0) return { id };
  for (const { form, kind } of forms) {
    const name = toClientId(id, form!, settings);
    if (name !== undefined) return { id: name, ...forms.length > 1 && { kind } };
  }
  return undefined;
}

function isUri(model: string): boolean {
  return model.includes("://");
}

/** The name in force of a model, and the version, where ids of that form have one. */
function parse(model: string, form: string, renamed: Provider["renamed"] = {}) {
  const end = /\{version[=}]/.test(form) ? model.search(/[:/]/) : -1;
  const name = end < 0 ? model : model.slice(0, end);
  const version = end < 0 ? undefined : model.slice(end + 1);
  return { name: Object.hasOwn(renamed, name) ? renamed[name]! : name, version };
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
