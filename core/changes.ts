/**
 * What a vendor cannot do as the client asks, and what is done about it.
 *
 * @module
 */
import { RouterError } from "./errors.ts";

/** Refuse the request; leave the field out and say so in `x-xrouter-changed`; or say nothing. */
export const unsupportedPolicies = ["refuse", "warn", "drop"] as const;

/** One of {@linkcode unsupportedPolicies}. */
export type UnsupportedPolicy = typeof unsupportedPolicies[number];

/** More names of fields than these are no use in a header. */
const mostNames = 50;

/** Collects the fields that one attempt carries out in another way than they ask for. */
export class Changes {
  readonly #policy: UnsupportedPolicy;
  readonly #headers: Record<string, string>;
  readonly #names = new Set<string>();

  /**
   * @param policy What to do with fields that the vendor cannot keep.
   * @param replyHeaders The client's headers. What an earlier attempt changed is forgotten.
   */
  constructor(policy: UnsupportedPolicy, replyHeaders: Record<string, string>) {
    this.#policy = policy;
    this.#headers = replyHeaders;
    delete replyHeaders["x-xrouter-changed"];
  }

  /** @throws {RouterError} `invalid_request` where the policy is to refuse. */
  readonly cannotKeep = (field: string, cure: string): void => {
    if (this.#policy === "refuse") {
      throw new RouterError("invalid_request", `"${field}" ${cure}`, { param: field });
    }
    if (this.#policy === "warn") this.changed(field);
  };

  /** Names a field in `x-xrouter-changed`. */
  readonly changed = (field: string): void => {
    // A client's own names must not end the header.
    const name = field.replace(/[^\x21-\x7e]|[,"]/g, "?");
    if (this.#names.size >= mostNames || this.#names.has(name)) return;
    this.#names.add(name);
    this.#headers["x-xrouter-changed"] = [...this.#names].join(", ");
  };
}
