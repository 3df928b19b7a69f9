/**
 * The bound on labels: their values come from the configuration or from a closed list, so that no
 * client and no vendor can make the number of series grow.
 *
 * @module
 */
import type { Catalog, Outcome, Target } from "xrouter/plugin";
import { errorTable } from "../../core/errors.ts";

const states: string[] = [
  "completed",
  "refused",
  "failed",
  "aborted",
] satisfies Outcome["state"][];
const statuses = [200, ...Object.values(errorTable).map(({ status }) => status)];

/** The value where it is known, `other` where it is not. */
function bound<Value>(value: Value, known: boolean): Value | "other" {
  return known ? value : "other";
}

/** Makes labels of what an exchange says. */
export class Labels {
  readonly #catalog: Catalog;

  /** @param catalog Knows the providers, and the models that the configuration names. */
  constructor(catalog: Catalog) {
    this.#catalog = catalog;
  }

  /** The provider's name. */
  provider({ provider }: Target): string {
    return bound(provider, this.#catalog.providers.has(provider));
  }

  /** The model's id. */
  model(target: Target): string {
    return bound(target.model, this.#catalog.isListed(target));
  }

  /** An error's code; nothing where there is no error. */
  error(error: { readonly code: string } | undefined): string | undefined {
    return error && bound(error.code, Object.hasOwn(errorTable, error.code));
  }

  /** How an exchange ended. */
  state({ state }: Outcome): string {
    return bound(state, states.includes(state));
  }

  /** The HTTP status. */
  status({ status }: Outcome): number | string {
    return bound(status, statuses.includes(status));
  }
}
