/**
 * The catalog: which providers are there, which models they have, and what is known of each model.
 *
 * @module
 */
import { Circuits } from "./circuits.ts";
import { RouterError } from "./errors.ts";
import type { DeclaredFacts, ModelFacts, Target } from "./model.ts";
import { listLifetime, listPause, Offers } from "./offers.ts";
import { PriceBook, type PriceSource, type SourceTariff } from "./prices/price_book.ts";
import { toTariff } from "./prices/tariff.ts";
import type { RouteTable } from "./routing/routes.ts";
import { Traffic } from "./routing/traffic.ts";
import type { Encoding } from "./tokens.ts";
import type { Transport } from "./transport.ts";

/** A model that clients may name. */
export interface CatalogModel extends Target {
  /** `provider/model`. */
  readonly id: string;
}

/** The providers by name, and their models. */
export class Catalog {
  #providers: ReadonlyMap<string, Transport>;
  #routes: ReadonlyMap<string, RouteTable>;
  /** The models' prices. */
  readonly prices: PriceBook;
  /** What goes on at the models now. */
  readonly traffic: Traffic = new Traffic();
  /** Tells when a model is asked no more, and when it is again. */
  readonly circuits: Circuits;
  #overrides: Readonly<Record<string, DeclaredFacts>>;
  /** What is declared of models beside their prices, by provider and model. */
  #facts = new Map<string, Map<string, ModelFacts>>();
  /** What routes lead to, as `provider/model`. */
  #routed: ReadonlySet<string>;
  readonly #offers = new Offers();

  /**
   * Puts the providers into the order of their names.
   *
   * @param providers Every loaded provider, configured or not.
   * @param overrides Facts by `provider/model`, which win over the provider's own.
   * @param routes The routes by name, checked.
   */
  constructor(
    providers: readonly Transport[],
    overrides: Readonly<Record<string, DeclaredFacts>> = {},
    routes: ReadonlyMap<string, RouteTable> = new Map(),
  ) {
    this.#providers = new Map(
      providers.toSorted((a, b) => a.name < b.name ? -1 : 1).map((each) => [each.name, each]),
    );
    this.circuits = new Circuits(providers);
    this.#overrides = overrides;
    this.#routes = routes;
    this.#routed = new Set(
      [...routes.values()].flatMap(({ targets }) => targets.map(({ id }) => id)),
    );
    const declared: SourceTariff[] = [];
    const note = (source: PriceSource, provider: string, model: string, facts: DeclaredFacts) => {
      const { price, ...rest } = facts;
      const models = this.#facts.get(provider) ?? new Map<string, ModelFacts>();
      this.#facts.set(provider, models.set(model, { ...models.get(model), ...rest }));
      if (price === undefined) return;
      const transport = this.#providers.get(provider);
      const prices = [price].flat().map((each) => transport?.priced(each) ?? each);
      declared.push({ provider, model, source, tariff: toTariff(prices) });
    };
    for (const { name, models } of providers) {
      for (const [model, facts] of Object.entries(models)) note("provider", name, model, facts);
    }
    for (const [id, facts] of Object.entries(overrides)) {
      const slash = id.indexOf("/");
      note("file", id.slice(0, slash), id.slice(slash + 1), facts);
    }
    this.prices = new PriceBook(declared);
  }

  /** The providers, in the order of their names: another map after every change. */
  get providers(): ReadonlyMap<string, Transport> {
    return this.#providers;
  }

  /** The routes by the names that clients ask for. */
  get routes(): ReadonlyMap<string, RouteTable> {
    return this.#routes;
  }

  /**
   * Takes over, in one step, what another catalog was made of. Prices that are set by command stay,
   * and so does what the vendors have listed, where the provider is the same.
   */
  become(next: Catalog): void {
    for (const [name, transport] of this.#providers) {
      if (next.#providers.get(name) !== transport) this.#offers.forget(name);
    }
    this.#providers = next.#providers;
    this.#routes = next.#routes;
    this.#routed = next.#routed;
    this.#overrides = next.#overrides;
    this.#facts = next.#facts;
    this.circuits.follow([...next.#providers.values()]);
    this.prices.declare(next.prices.declared);
  }

  /**
   * One model of one provider, whether the vendor lists it or not, with the price in force now. What
   * is known of the name itself wins over what is known of the model that it stands for.
   */
  target(provider: string, model: string): Target {
    const { id, kind } = this.#providers.get(provider)?.named(model) ?? { id: model };
    const offered = this.#offers.of(provider).models.get(id)?.kind;
    const facts = this.#facts.get(provider);
    const known = {
      ...offered && { kind: offered },
      ...facts?.get(id),
      ...facts?.get(model),
      ...kind && { kind },
    };
    const priceOf = (name: string) => this.prices.at(provider, name, Date.now());
    const price = priceOf(model) ?? priceOf(id);
    return {
      provider,
      model,
      facts: price === undefined ? known : { ...known, price },
    };
  }

  /**
   * Finds what a client names: routes, `provider/model`, or ids that one provider lists.
   *
   * @param names The first choice first. What cannot be found is passed over, as long as something
   * is left.
   * @returns The targets, the first to be tried first, each once.
   * @throws {RouterError} `no_route` when nothing is left: nobody has the first name, several have
   * it, or its provider is not configured; the message says what to write or to set.
   */
  async resolve(names: readonly string[]): Promise<Target[]> {
    await this.prices.refresh();
    const targets = new Map<string, Target>();
    let failure: unknown;
    const ids = names.flatMap((each) => this.routes.get(each)?.targets.map(({ id }) => id) ?? each);
    for (const id of ids) {
      try {
        const target = this.find(id) ?? await this.search(id);
        targets.set(`${target.provider}/${target.model}`, target);
      } catch (error) {
        if (!(error instanceof RouterError)) throw error;
        failure ??= error;
      }
    }
    if (targets.size === 0) throw failure;
    return [...targets.values()];
  }

  /**
   * Finds a model that is no route after the vendors have been asked for their lists.
   *
   * @throws {RouterError} `no_route` as {@linkcode Catalog.resolve} does.
   */
  async search(name: string): Promise<Target> {
    await this.#offers.refresh(this.#configured(), listPause);
    const found = this.find(name);
    if (found !== undefined) return found;
    const idle = [...this.providers.values()].find((each) =>
      each.missing !== undefined && describes(each, name)
    );
    throw noRoute(
      idle === undefined
        ? `No provider has the model "${name}". GET /v1/models lists what there is; write "provider/model" for a model that is not listed`
        : `The model "${name}" belongs to the provider "${idle.name}", which is not configured. ${idle.missing}`,
    );
  }

  /** The encoding of the model that a client names, where it is known without asking a vendor. */
  encodingOf(name: string): Encoding | undefined {
    const first = this.routes.get(name)?.targets[0]?.id ?? name;
    const slash = first.indexOf("/");
    const named = this.providers.get(first.slice(0, Math.max(slash, 0)));
    if (named !== undefined) {
      return this.target(named.name, first.slice(slash + 1)).facts.encoding;
    }
    const owner = this.#configured().find((each) => describes(each, first));
    return owner && this.target(owner.name, first).facts.encoding;
  }

  /**
   * Whether the configuration names the model: in the provider's own table, in the overrides or in
   * a route. Unlike the vendors' lists, this set changes with the files alone.
   */
  isListed({ provider, model }: Target): boolean {
    const owner = this.providers.get(provider);
    if (owner === undefined) return false;
    const id = `${provider}/${model}`;
    return describes(owner, model) || Object.hasOwn(this.#overrides, id) ||
      this.#routed.has(id);
  }

  /**
   * Every model of every configured provider, as far as the vendors answer in time. One that the
   * provider's own table describes and its vendor does not offer is left out, unless the configuration
   * file names it.
   */
  async models(): Promise<CatalogModel[]> {
    const configured = this.#configured();
    await Promise.all([this.prices.refresh(), this.#offers.refresh(configured, listLifetime)]);
    return configured.flatMap((each) =>
      [...this.#idsOf(each)].map((model) => ({
        id: `${each.name}/${model}`,
        ...this.target(each.name, model),
      }))
    );
  }

  #configured(): Transport[] {
    return [...this.providers.values()].filter((each) => each.missing === undefined);
  }

  #idsOf(provider: Transport): Set<string> {
    const { models, whole } = this.#offers.of(provider.name);
    const described = Object.keys(provider.models).filter((model) =>
      !whole || models.has(idOf(provider, model)) ||
      Object.hasOwn(this.#overrides, `${provider.name}/${model}`)
    );
    return new Set([...described, ...models.keys()]);
  }

  /**
   * Finds a model that is no route, without asking anybody.
   *
   * @returns `undefined` where nobody is known to have it.
   * @throws {RouterError} `no_route` where several have it, or its provider is not configured.
   */
  find(name: string): Target | undefined {
    const slash = name.indexOf("/");
    if (slash > 0) {
      const provider = this.providers.get(name.slice(0, slash));
      const model = name.slice(slash + 1);
      if (provider?.named(model) !== undefined) {
        if (provider.missing !== undefined) {
          throw noRoute(`The provider "${provider.name}" is not configured. ${provider.missing}`);
        }
        return this.target(provider.name, model);
      }
    }
    // A provider's own table comes first: what a vendor lists tomorrow must not make it ambiguous.
    const configured = this.#configured();
    const own = configured.filter((each) => describes(each, name));
    const owners = own.length > 0
      ? own
      : configured.filter((each) => this.#offers.of(each.name).models.has(idOf(each, name)));
    if (owners.length > 1) {
      const choices = owners.map((each) => `"${each.name}/${name}"`).join(" or ");
      throw noRoute(`Several providers have the model "${name}". Write ${choices}`);
    }
    return owners[0] && this.target(owners[0].name, name);
  }
}

function noRoute(message: string): RouterError {
  return new RouterError("no_route", message, { param: "model" });
}

/** The id by which a model is listed. */
function idOf(provider: Transport, model: string): string {
  return provider.named(model)?.id ?? model;
}

/** Whether the provider's own table has the model. */
function describes(provider: Transport, model: string): boolean {
  return Object.hasOwn(provider.models, model) ||
    Object.hasOwn(provider.models, idOf(provider, model));
}
