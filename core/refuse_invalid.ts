/**
 * What a validator finds wrong, in the one shape of errors.
 *
 * @module
 */
import { RouterError } from "./errors.ts";

/** What a validator found. */
interface Validation {
  readonly success: boolean;
  readonly error?: {
    readonly issues: readonly {
      readonly path: readonly PropertyKey[];
      readonly message: string;
      /** Parameters that the schema does not have. */
      readonly keys?: readonly string[];
    }[];
  };
}

/**
 * A hook for `zValidator`.
 *
 * @throws {RouterError} `invalid_request` naming the first parameter that is wrong. The schema's
 * messages go on after its name: `must be a whole number`.
 */
export function refuseInvalid({ success, error }: Validation): void {
  const issue = error?.issues[0];
  if (success || issue === undefined) return;
  const param = issue.path.map(String).join(".") || issue.keys?.[0] || "";
  throw new RouterError("invalid_request", `"${param}" ${issue.message}`, { param });
}
