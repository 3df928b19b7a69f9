/**
 * What is left of the tokens that were bought.
 *
 * @module
 */
import { type Balance, RouterError, type Wire } from "xrouter/provider";
import { z } from "zod";
import { fault } from "./fault.ts";
import { answerOf } from "./vendor_words.ts";

const shape = z.object({
  balance: z.array(z.object({ usage: z.string(), value: z.number() })),
});

/**
 * Asks for the tokens that are left, model by model.
 *
 * @throws {RouterError} also where an account has no balance, because it pays by use.
 */
export async function balance(wire: Pick<Wire, "send">): Promise<Balance[]> {
  const response = await wire.send("/balance");
  const { status, headers } = response;
  const text = await response.text();
  if (status === 403) {
    throw new RouterError("upstream_rejected", "The account has no balance: it pays by use", {
      detail: `Sber tells what is left of bought packages only (${
        answerOf(status, text, headers)
      })`,
    });
  }
  const read = response.ok ? shape.safeParse(parse(text)) : undefined;
  if (read?.success) {
    return read.data.balance.map(({ usage, value }) => ({
      name: usage,
      left: value,
      unit: "tokens",
    }));
  }
  throw (response.ok ? undefined : fault(status, text, headers)) ??
    new RouterError("upstream_unavailable", "GigaChat's balance has another shape", {
      detail: answerOf(status, text, headers),
    });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
