/**
 * `xrouter explain`: where a request would go, or went, and why.
 *
 * @module
 */
import { readConfig, readEnvironment } from "../config.ts";
import { UsageStore } from "../report/usage_store.ts";
import { defineCommand, jsonSwitch, UsageError } from "./arguments.ts";
import { urlToCall } from "./own_address.ts";
import { formatTable } from "./terminal.ts";
import { withDatabase } from "./with_database.ts";

/** Milliseconds that the server gets for its answer. */
const timeoutMs = 30_000;

/** What the server tells of a request; see `core/routing/explain.ts`. */
interface Explanation {
  route: string | null;
  strategy: string | null;
  currency: string;
  input_tokens: number;
  targets: {
    target: string;
    circuit: string | null;
    running: number;
    first_token_ms: number | null;
    held: number | null;
    max_tokens: number | null;
    refusal: { message: string } | null;
  }[];
  excluded: { target: string; reason: string }[];
  attempts: number;
  time_ms: number;
  on_break: string;
  hedge_after_ms: number | null;
}

/** `xrouter explain`. */
export const explain = defineCommand({
  name: "explain",
  about: "Say where a request would go and why, or where one went",
  arguments: {
    id: { value: "REQUEST-ID", about: "A request that was made: its x-request-id" },
    model: { value: "NAME", about: "The model or the route that a client would ask for" },
    text: { value: "TEXT", about: "What a user would say; else a short greeting" },
    body: { value: "FILE", about: "A request's body, a JSON file, instead of a model and a text" },
    url: { value: "URL", about: "The running server; else the one that the settings name" },
    json: jsonSwitch,
  },
  help: () =>
    "A running server is asked, since it knows how the providers do; nobody else is. The key that\n" +
    'asks is XROUTER_API_KEY, of the environment or a file ".env". Requests that were made are\n' +
    "looked up in the database.",
  async run({ id, model, text, body, url, json }) {
    const given = [id, model, body].filter((each) => each !== undefined);
    if (given.length !== 1) throw new UsageError("Give one of --id, --model and --body");
    if (id !== undefined) {
      const route = await wayOf(id);
      console.log(JSON.stringify(route, undefined, 2));
      return 0;
    }
    const request = body === undefined
      ? JSON.stringify({ model, messages: [{ role: "user", content: text ?? "Hello" }] })
      : await Deno.readTextFile(body);
    const explanation = await ask(request, url);
    if (json) console.log(JSON.stringify(explanation, undefined, 2));
    else print(explanation);
    return 0;
  },
});

/** What is kept of a request's way. */
async function wayOf(id: string): Promise<unknown> {
  const row = await withDatabase(({ database }) => new UsageStore(database).one(id));
  if (row === undefined) throw new Error(`There is no request "${id}"`);
  return row.route ?? {
    targets: row.provider === null ? [] : [`${row.provider}/${row.model}`],
    excluded: [],
    attempts: row.attempts,
  };
}

async function ask(body: string, address: string | undefined): Promise<Explanation> {
  const env = readEnvironment();
  const { host, port } = (await readConfig(env)).settings;
  const base = (address ?? urlToCall(host, port)).replace(/\/+$/, "");
  const key = env.XROUTER_API_KEY?.trim();
  if (!key) throw new Error("No key asks. Set XROUTER_API_KEY");
  let response: Response;
  try {
    response = await fetch(`${base}/v1/route/explain`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body,
      signal: AbortSignal.timeout(timeoutMs),
    });
  } catch (error) {
    throw new Error(`No server answers at ${base}. Start it, or give its --url`, { cause: error });
  }
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  throw new Error(answer.error?.message ?? `The server at ${base} answers HTTP ${response.status}`);
}

function print(explanation: Explanation): void {
  const { route, strategy, targets, excluded, currency, hedge_after_ms: hedge } = explanation;
  const named = route === null ? "No route is named" : `Route "${route}"`;
  console.log(`${named}; ${strategy ?? "as a plugin says"}.`);
  console.log(
    `${explanation.input_tokens} input tokens; at most ${explanation.attempts} tries in ` +
      `${explanation.time_ms / 1000} s; a stream that breaks off: ${explanation.on_break}` +
      (hedge === null ? "" : `; a second target after ${hedge} ms`),
  );
  const rows = formatTable(
    targets.map((each, place) => [
      `${place + 1}. ${each.target}`,
      each.circuit ?? "",
      String(each.running),
      each.first_token_ms === null ? "-" : `${each.first_token_ms} ms`,
      each.held === null ? "-" : `${each.held} ${currency}`,
      each.refusal?.message ?? (each.max_tokens === null ? "" : `cut to ${each.max_tokens} tokens`),
    ]),
    ["TARGET", "CIRCUIT", "RUNNING", "FIRST TOKEN", "HELD", "REMARK"],
  );
  console.log(rows.join("\n"));
  if (excluded.length === 0) return;
  console.log("\nNot asked:");
  for (const { target, reason } of excluded) console.log(`  ${target}: ${reason}`);
}
