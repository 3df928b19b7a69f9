/**
 * The system under test: the real program on a real socket, with a database file of its own, a key
 * with credit, and two providers from files that were dropped in.
 *
 * @module
 */
import { AccountStore } from "../../core/ledger/accounts.ts";
import { checkLedger } from "../../core/ledger/ledger_check.ts";
import { migrationsFolder } from "../../core/program.ts";
import { openDatabase } from "../../core/store/database.ts";
import { KeyStore } from "../../core/store/keys.ts";
import { migrate } from "../../core/store/migrate.ts";
import { RouterProcess } from "../ledger/router_process.ts";
import { serveProgram } from "../ledger/served_program.ts";
import { dropIn } from "../support/drop_in.ts";
import { scripts } from "./scripts.ts";

/** Two vendors' base URLs. */
export interface Vendors {
  /** The first choice's. */
  readonly bad: string;
  /** The fallback's. */
  readonly good: string;
}

/** How a system is started. */
export interface SystemOptions {
  readonly vendors: Vendors;
  /** What the program's time limits are multiplied with. */
  readonly pace: number;
  /** Further settings. */
  readonly env?: Readonly<Record<string, string>>;
  /** A plugin of its own, as text: the program runs as a process of its own. */
  readonly plugin?: string | undefined;
}

/** A row of the ledger. */
export interface Booked {
  /** The run that it belongs to. */
  readonly tag: string | null;
  readonly provider: string | null;
  readonly model: string | null;
  readonly state: string;
  readonly input: number | null;
  readonly output: number | null;
  /** Millionths. */
  readonly cost: number | null;
  readonly durationMs: number;
}

/** What the ledger says once everything is over. */
export interface LedgerRead {
  readonly rows: readonly Booked[];
  /** Holds that were left. */
  readonly holds: number;
  /** Numbers that the rows do not bear out. */
  readonly mismatches: number;
}

/** A running system. */
export interface System extends AsyncDisposable {
  readonly url: string;
  readonly secret: string;
  /** Lets it finish and close, and reads its ledger. */
  ledger(): Promise<LedgerRead>;
}

/** What a token costs, in millionths, by provider. */
export const prices = { bad: { input: 10, output: 20 }, good: { input: 30, output: 100 } };

/** The program's time limits as they are by default, in milliseconds. */
const limits = {
  XROUTER_FIRST_BYTE_MS: 10_000,
  XROUTER_FIRST_TOKEN_MS: 10_000,
  XROUTER_LAST_MS: 60_000,
  XROUTER_IDLE_MS: 20_000,
  XROUTER_WHOLE_MS: 120_000,
};

function providerFile(name: keyof Vendors): string {
  return `import { defineProvider } from "xrouter/provider";

export default defineProvider({ name: "${name}", baseUrl: "https://${name}.example/v1" });
`;
}

/** The models that are declared to go on from an answer that has begun; the second one does not. */
const takePrefill: ReadonlySet<string> = new Set(["well", "false-prefill"]);

/** Every model of the lab at both providers, with its price. */
function configuration(): string {
  const models = Object.entries(prices).flatMap(([provider, price]) =>
    Object.keys(scripts).map((model) => {
      const facts = takePrefill.has(model) ? { prefill: true } : {};
      return [`${provider}/${model}`, { price: { currency: "RUB", ...price }, ...facts }];
    })
  );
  return JSON.stringify({ models: Object.fromEntries(models) });
}

/** A system that is not yet started. */
export interface PreparedSystem extends AsyncDisposable {
  /** Its folder, with its database file. */
  readonly folder: string;
  /** The environment to start it in. */
  readonly env: Readonly<Record<string, string>>;
  readonly secret: string;
  /** Reads its ledger; it must not be running. */
  ledger(): Promise<LedgerRead>;
}

/** Makes the folder of one, with its files, its database and its key. */
export async function prepareSystem(options: SystemOptions): Promise<PreparedSystem> {
  const { vendors, pace, env = {}, plugin } = options;
  const folder = await dropIn({
    "xrouter.json": configuration(),
    "providers/bad.ts": providerFile("bad"),
    "providers/good.ts": providerFile("good"),
    ...(plugin !== undefined && { "plugins/90_lab.ts": plugin }),
  });
  const url = `file:${folder.path}/xrouter.db`;
  const paced = Object.entries(limits).map(([name, ms]) => [name, `${Math.round(ms * pace)}`]);
  return {
    folder: folder.path,
    secret: await makeKey(url),
    env: {
      DATABASE_URL: url,
      XROUTER_CONFIG: `${folder.path}/xrouter.json`,
      XROUTER_PROVIDERS_DIR: `${folder.path}/providers`,
      XROUTER_RETRIES: "2",
      BAD_API_KEY: "lab",
      BAD_BASE_URL: vendors.bad,
      GOOD_API_KEY: "lab",
      GOOD_BASE_URL: vendors.good,
      ...(pace !== 1 && Object.fromEntries(paced)),
      ...(plugin !== undefined && { XROUTER_PLUGINS_DIR: `${folder.path}/plugins` }),
      ...env,
    },
    ledger: () => readLedger(url),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

/** Starts one: in this process, or as a process of its own where it has a plugin. */
export async function startSystem(options: SystemOptions): Promise<System> {
  const { folder, env, secret, ledger, ...prepared } = await prepareSystem(options);
  const running = options.plugin === undefined
    ? await serveProgram(env)
    : await RouterProcess.start(folder, env);
  let stopped: PromiseLike<void> | undefined;
  const stop = () => stopped ??= running[Symbol.asyncDispose]();
  return {
    url: running.url,
    secret,
    async ledger() {
      await stop();
      return await ledger();
    },
    async [Symbol.asyncDispose]() {
      await stop();
      await prepared[Symbol.asyncDispose]();
    },
  };
}

/** Makes a key with more credit than a run can use. */
async function makeKey(url: string): Promise<string> {
  const database = await openDatabase({ url });
  try {
    await migrate(database, migrationsFolder);
    const { key, secret } = await new KeyStore(database).create({ name: "lab" });
    await new AccountStore(database).credit(key.id, 1_000_000_000_000, "lab");
    return secret;
  } finally {
    database.close();
  }
}

async function readLedger(url: string): Promise<LedgerRead> {
  const database = await openDatabase({ url });
  try {
    const { rows } = await database.execute(
      "SELECT tag, provider, model, state, input_tokens AS input, output_tokens AS output, " +
        "iif(cost IS NULL, NULL, charged) AS cost, " +
        "duration_ms AS durationMs FROM usage ORDER BY request_id",
    );
    const { rows: [held] } = await database.execute("SELECT count(*) AS holds FROM holds");
    return {
      rows: rows.map((row) => ({ ...row }) as unknown as Booked),
      holds: Number(held!.holds),
      mismatches: (await checkLedger(database)).mismatches.length,
    };
  } finally {
    database.close();
  }
}
