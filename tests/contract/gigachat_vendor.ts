import { startFakeGigachat } from "../support/fake_gigachat.ts";
import type { Behaviour, ContractVendor } from "./vendor.ts";

/** The fake GigaChat as a vendor of the contract. */
export async function startVendor(): Promise<ContractVendor> {
  const fake = await startFakeGigachat();
  const silence = Promise.withResolvers<void>();
  return {
    env: fake.env,
    model: "GigaChat-2",
    behave(behaviour: Behaviour) {
      if (behaviour === "unauthorized") {
        fake.failNext("chat", ...Array.from({ length: 5 }, () => ({ status: 401 })));
      }
      if (behaviour === "silence") fake.reply = () => ({ content: halfWords(silence.promise) });
    },
    get chats() {
      return fake.chats;
    },
    left: () => fake.requestsTo("/v1/chat/completions").at(-1)!.end,
    async [Symbol.asyncDispose]() {
      silence.resolve();
      await fake[Symbol.asyncDispose]();
    },
  };
}

async function* halfWords(silence: Promise<void>): AsyncGenerator<string> {
  yield "Hel";
  await silence;
}
