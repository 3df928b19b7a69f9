import { assertEquals } from "@std/assert";
import type { Hooks, Outcome } from "../../core/plugin.ts";
import { startKernel } from "../support/kernel.ts";
import { type RandomBelow, seededRandom } from "../support/random.ts";
import { ask } from "../support/router.ts";
import { delta, ending, event, Script, type Seen, startUpstream } from "../support/upstream.ts";
import { streamed, wholeAnswer } from "../support/upstream.ts";

const [stop, usage, done] = ending() as [string, string, string];
const lost = event({ error: { message: "lost" } });

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** A stream with pauses between its parts, whose caller may hang up at any time. */
function slowly(random: RandomBelow, ...parts: string[]): Response {
  const script = new Script();
  const write = async () => {
    for (const part of parts) {
      // Now and then long enough for comments, which come by the tick.
      if (random(2) === 0) await pause(random(12) === 0 ? 50 : random(8));
      await script.send(part);
    }
    await script.close();
  };
  write().catch(() => {});
  return script.response();
}

/** All that a vendor may do. */
function behave(random: RandomBelow, { body, closed }: Seen): Response | Promise<Response> {
  const words = Array.from({ length: random(6) }, (_, i) => delta(`w${i} `));
  const refuse = (status: number, headers = {}) =>
    Response.json({ error: { message: "no" } }, { status, headers });
  const silent = async () => {
    await closed;
    return wholeAnswer();
  };
  const always = [
    () => refuse(500),
    () => refuse(429, { "retry-after": "0" }),
    () => refuse(400),
    () => refuse(401),
    () => new Response("<html>"),
    silent,
  ];
  const whole = [
    () => wholeAnswer("fine"),
    () => wholeAnswer("fine", { usage: undefined }),
    () => pause(random(20)).then(() => wholeAnswer("late")),
  ];
  const streams = [
    () => streamed(...words, stop, usage, done),
    () => streamed(...words, stop),
    () => slowly(random, ...words, stop, usage, done),
    () => slowly(random, ...words, stop, done),
    () => slowly(random, ...words),
    () => slowly(random, ...words, lost, done),
    () => slowly(random, ...words, '{"cut":'),
    () => wholeAnswer("not streamed"),
  ];
  const well = body.stream ? streams : whole;
  const choices = random(3) === 0 ? always : well;
  return choices[random(choices.length)]!();
}

/** A plugin that crashes, refuses and withholds now and then. */
function moody(random: RandomBelow): Hooks {
  const crash = () => {
    if (random(40) === 0) throw new TypeError("a slip");
  };
  return {
    onRequest: ({ body }) => {
      crash();
      return random(15) === 0
        ? { model: body.model, choices: [{ index: 0, message: { content: "ready" } }] }
        : undefined;
    },
    onRoute: crash,
    onAttempt: async () => {
      if (random(4) === 0) await pause(random(5));
      crash();
    },
    onChunk(_x, chunk): void | false {
      crash();
      if (random(20) === 0) return false;
      if (random(20) === 0 && chunk.json) chunk.replace({ ...chunk.json, replaced: true });
    },
    onFinish: async () => {
      if (random(4) === 0) await pause(random(5));
      crash();
    },
  };
}

/** What a client saw: nothing, if it left. */
interface Sight {
  readonly id: string;
  readonly status: number;
  readonly text?: string;
}

/** Sends a request whose client reads all, or leaves at some time. */
async function visit(
  random: RandomBelow,
  chat: (init: RequestInit) => Promise<Response>,
): Promise<Sight | undefined> {
  const leaving = new AbortController();
  const timer = random(3) === 0 ? setTimeout(() => leaving.abort(), random(40)) : undefined;
  try {
    const response = await chat({ signal: leaving.signal });
    const id = response.headers.get("x-request-id")!;
    return { id, status: response.status, text: await response.text() };
  } catch (error) {
    if (!leaving.signal.aborted) throw error;
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}

for (const keepAliveMs of [4, 10_000]) {
  Deno.test(`Kernel settles each exchange once and truly, comments after ${keepAliveMs} ms`, async () => {
    const random = seededRandom();
    const ends = new Map<string, Outcome[]>();
    const witness: Hooks = {
      onFinish: (x, outcome) => void ends.set(x.id, [...ends.get(x.id) ?? [], outcome]),
    };
    await using upstream = startUpstream((seen) => behave(random, seen));
    const providers = (["cancel", "drain"] as const).map((onAbort) => ({
      name: onAbort,
      baseUrl: upstream.url,
      onAbort,
    }));
    await using kernel = startKernel({
      providers,
      plugins: [
        { hooks: witness },
        { name: "strict", hooks: moody(random) },
        { name: "lax", onError: "skip", hooks: moody(random) },
        { hooks: witness },
      ],
      route: { retries: 1, time: 400, timeouts: { firstByte: 60, idle: 60 } },
      drainMs: 60,
      keepAliveMs,
    });
    const sights: (Sight | undefined)[] = [];
    for (let round = 0; round < 5; round++) {
      sights.push(
        ...await Promise.all(Array.from({ length: 40 }, () => {
          const model = `${providers[random(2)]!.name}/m`;
          const models = random(3) === 0 ? ["drain/second"] : undefined;
          const options = random(2) === 0 ? { stream_options: { include_usage: true } } : {};
          const body = ask(model, "hi", { stream: random(3) > 0, ...options, models });
          return visit(random, (init) => kernel.chat(body, init));
        })),
      );
    }
    await kernel.kernel.drain(2_000);
    assertEquals(kernel.kernel.running, 0);
    for (const [id, outcomes] of ends) {
      // Two witnesses, one truth.
      assertEquals(outcomes.length, 2, id);
      assertEquals(outcomes[0], outcomes[1]);
      const { state, status, error, usage } = outcomes[0]!;
      const told = JSON.stringify(outcomes[0]);
      assertEquals(error === undefined || state !== "completed", true, told);
      assertEquals(usage === undefined || (usage.output >= 0 && usage.input >= 0), true, told);
      assertEquals(status === 499 ? state === "aborted" : true, true, told);
    }
    const left = sights.filter((sight) => sight === undefined).length;
    const seen = sights.filter((sight) => sight !== undefined);
    for (const { id, status, text } of seen) {
      const { state, status: recorded, error } = ends.get(id)![0]!;
      const told = `${id}: ${state} ${recorded} ${error?.code} ${status} ${text}`;
      assertEquals(status, recorded, told);
      const isStream = text!.includes("data: ");
      const looksDone = isStream ? text!.endsWith(done) : status === 200;
      assertEquals(looksDone, state === "completed", told);
      if (isStream) assertEquals(text!.includes("[DONE]"), state === "completed", told);
    }
    // Those that left may have done so before their request arrived.
    assertEquals(ends.size >= seen.length && ends.size <= seen.length + left, true);
  });
}
