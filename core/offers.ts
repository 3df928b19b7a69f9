/**
 * What the vendors offer, as they said when they were asked last.
 *
 * @module
 */
import { noOffer, type Offer } from "./offer.ts";
import type { Transport } from "./transport.ts";

/** Milliseconds for which a vendor's own list of models is taken as current. */
export const listLifetime = 10 * 60_000;

/** Milliseconds before a vendor is asked again after an unknown model or a failed listing. */
export const listPause = 60_000;

/** Milliseconds a listing may take. */
const listTimeout = 5_000;

interface Listing {
  offer: Offer;
  askedAt: number;
  failed: boolean;
  running?: Promise<void> | undefined;
}

/** The offers by the names of the providers. */
export class Offers {
  readonly #listings = new Map<string, Listing>();

  /** What a provider's vendor offered last. */
  of(provider: string): Offer {
    return this.#listings.get(provider)?.offer ?? noOffer;
  }

  /** Forgets what a vendor offered. */
  forget(provider: string): void {
    this.#listings.delete(provider);
  }

  /** Asks the vendors whose list is older than `maxAge`; a vendor that fails keeps its last list. */
  async refresh(providers: readonly Transport[], maxAge: number): Promise<void> {
    await Promise.all(
      providers.map((each) => {
        const listing: Listing = this.#listings.get(each.name) ??
          { offer: noOffer, askedAt: -Infinity, failed: false };
        this.#listings.set(each.name, listing);
        if (listing.running !== undefined) return listing.running;
        if (performance.now() - listing.askedAt < (listing.failed ? listPause : maxAge)) return;
        listing.askedAt = performance.now();
        listing.running = list(each, listing);
        return listing.running;
      }),
    );
  }
}

async function list(provider: Transport, listing: Listing): Promise<void> {
  try {
    listing.offer = await provider.offered(AbortSignal.timeout(listTimeout));
    listing.failed = false;
  } catch {
    // `xrouter doctor` says why; here the last list, or the provider's own table, goes on serving.
    listing.failed = true;
  } finally {
    listing.running = undefined;
  }
}
