/**
 * `deno task bench:mapping`: what it costs to translate a request to GigaChat's wire and its answer
 * back on one thread, beside `JSON.parse` and `JSON.stringify` of the same bodies on the same machine:
 * trust the ratio more than the microseconds.
 *
 * Nothing is asserted about time. The network, the relay and the plugins are not in it:
 * `deno task bench` measures those.
 *
 * @module
 */
import type { ChatBody } from "../../core/chat.ts";
import gigachat from "../../providers/gigachat/mod.ts";
import { callOf } from "../support/call.ts";
import * as v1 from "../support/fake_gigachat_answer.ts";
import * as v2 from "../support/fake_gigachat_v2.ts";
import { agent, answerText, document, long, phrases, small, structured } from "./mapping_bodies.ts";
import { median } from "./statistics.ts";
import { formatTable } from "./table.ts";

/** Batches that count, after as many that warm up. */
const batches = 200;

/** Microseconds that a batch takes at least. */
const batchMicros = 2_000;

const settings = gigachat.settings!.parse({
  credentials: [btoa("id:secret")],
  v2Models: ["GigaChat-2-Max"],
});
const newCall = () => callOf({ settings: settings as never, keyId: "key_1" }) as never;
const usual = { model: "GigaChat-2", promptTokens: 300, cachedTokens: 100 };

/** The microseconds of one run; what it is given is made anew each time, and that is not counted. */
async function measure<Given>(give: () => Given, run: (given: Given) => unknown): Promise<number> {
  let runs = 1;
  const batch = async () => {
    const given = Array.from({ length: runs }, give);
    const start = performance.now();
    for (const each of given) {
      const made = run(each);
      if (made instanceof Promise) await made;
    }
    return (performance.now() - start) * 1_000;
  };
  while (await batch() < batchMicros) runs *= 2;
  for (let at = 0; at < batches; at++) await batch();
  const micros: number[] = [];
  for (let at = 0; at < batches; at++) micros.push(await batch() / runs);
  return median(micros);
}

/** The microseconds that any gateway spends on the same texts: reading and printing each. */
function plain(...texts: readonly string[]): Promise<number> {
  return measure(() => texts, (each) => each.map((text) => JSON.stringify(JSON.parse(text))));
}

/** A request there and its whole answer back. */
async function measureWhole(title: string, body: ChatBody, answer: unknown): Promise<string[]> {
  const texts = [JSON.stringify(body), JSON.stringify(answer)] as const;
  const there = await measure(
    () => ({ fresh: JSON.parse(texts[0]) as ChatBody, call: newCall() }),
    ({ fresh, call }) => gigachat.encode!(fresh, call),
  );
  const back = await measure(
    () => ({ fresh: JSON.parse(texts[1]) as unknown, call: newCall() }),
    ({ fresh, call }) => gigachat.decoder!(body, call).whole(fresh),
  );
  return row(title, there, back, await plain(...texts));
}

/** An event of a streamed answer. */
async function measureEvent(
  title: string,
  body: ChatBody,
  events: readonly string[],
): Promise<string[]> {
  const texts = events.map((event) => event.slice(event.indexOf("{")));
  const names = events.map((event) => /^event: (.+)$/m.exec(event)?.[1]);
  const back = await measure(
    () => gigachat.decoder!(body, newCall()),
    (decoder) => texts.map((text, at) => decoder.event(text, names[at])),
  );
  return row(title, undefined, back / events.length, await plain(...texts) / events.length);
}

function row(title: string, there: number | undefined, back: number, bare: number): string[] {
  const sum = (there ?? 0) + back;
  return [
    title,
    there?.toFixed(1) ?? "-",
    back.toFixed(1),
    sum.toFixed(1),
    bare.toFixed(1),
    `${(sum / bare).toFixed(2)}×`,
  ];
}

const called = { name: "find_order", arguments: { order: "T-7", amount: 2 } };

/** Every case once. */
async function measureAll(): Promise<string[][]> {
  const rows: string[][] = [];
  for (const [version, model] of [["v1", "GigaChat-2"], ["v2", "GigaChat-2-Max"]] as const) {
    const whole = (reply: { content?: string; calls?: typeof called[] }) =>
      version === "v2" ? v2.wholeAnswer(reply, usual) : v1.wholeAnswer(
        { ...reply, ...(reply.calls && { functionCall: reply.calls[0]! }) },
        usual,
      );
    const events = await Array.fromAsync(
      version === "v2"
        ? v2.streamEvents({ content: phrases }, usual, true)
        : v1.streamEvents({ content: phrases }, usual),
    );
    const calls = version === "v2" ? [called, called] : [called];
    rows.push(
      await measureWhole(
        `${version}: a question`,
        small(model),
        await whole({ content: answerText }),
      ),
      await measureWhole(`${version}: 20 messages, 6 tools`, long(model), await whole({ calls })),
      await measureWhole(
        `${version}: 200 messages, 30 tools`,
        agent(model),
        await whole({ calls }),
      ),
      await measureWhole(
        `${version}: a schema of 50 kinds`,
        structured(model),
        await whole({ content: JSON.stringify(document) }),
      ),
      await measureEvent(`${version}: an event of a stream`, small(model), events),
    );
  }
  return rows;
}

// Until each case has run for a while, the first ones pay for code that is not compiled well yet.
await measureAll();
const rows = await measureAll();
console.log(`Deno ${Deno.version.deno}. Microseconds, medians of ${batches} batches.\n`);
console.log(
  formatTable(["", "request", "answer", "both", "JSON.parse and stringify", "ratio"], rows),
);
