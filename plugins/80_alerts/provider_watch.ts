/**
 * Sees when a model is asked no more because it fails, and when it answers again.
 *
 * @module
 */
import type { Catalog, Exchange, Target } from "xrouter/plugin";
import type { CallCounts } from "../../core/circuits.ts";

/** Told that a model is asked no more, and why, or that it answers. */
export type ProviderListener = (name: string, isDown: boolean, cause: CallCounts) => void;

/** What was seen to work has no cause. */
const none: CallCounts = { calls: 0, failed: 0, slow: 0 };

/** A running watch. */
export interface ProviderWatch {
  /** Takes each exchange that is over. */
  record(x: Pick<Exchange, "attempts">): void;
  /** Watches no more. */
  close(): void;
}

/**
 * Watches the models that the configuration names one by one, and the others of a provider together:
 * clients write names as they like. A model is down when its circuit is open at every account.
 *
 * @param tell Called at changes, and when something first answers.
 */
export function watchProviders(
  catalog: Pick<Catalog, "isListed" | "providers" | "circuits">,
  tell: ProviderListener,
): ProviderWatch {
  const answering = new Set<string>();
  const stateOf = ({ provider, model }: Target) =>
    catalog.providers.get(provider)?.circuit(model).state;
  const close = catalog.circuits.subscribe(({ provider, model, cause }) => {
    const target = { provider, model, facts: {} };
    if (stateOf(target) !== "open") return;
    const name = nameOf(catalog, target);
    answering.delete(name);
    tell(name, true, cause);
  });
  return {
    close,
    record({ attempts }) {
      for (const { target, error, durationMs } of attempts) {
        if (durationMs === undefined || error !== undefined) continue;
        const name = nameOf(catalog, target);
        // An answer that began before its circuit opened tells nothing.
        if (answering.has(name) || stateOf(target) !== "closed") continue;
        answering.add(name);
        tell(name, false, none);
      }
    },
  };
}

function nameOf(catalog: Pick<Catalog, "isListed">, target: Target): string {
  const { provider, model } = target;
  return catalog.isListed(target) ? `${provider}/${model}` : provider;
}
