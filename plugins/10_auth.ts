/**
 * Checks the API key of every request under `/v1`. Admin keys call no model.
 *
 * Keys are looked up by their SHA-256 and cached for a moment: long enough to spare the database,
 * short enough that a revoked key stops working within two seconds, also when another process
 * revoked it.
 *
 * @module
 */
import type { Context } from "hono";
import { type CallerEnv, definePlugin, RouterError } from "xrouter/plugin";
import { type ApiKey, hashKey, KeyStore } from "../core/store/keys.ts";

/** Milliseconds for which a looked-up key is taken as it is. */
const fresh = 900;

/** Milliseconds after which a looked-up key is not used any more; in between it is looked up again. */
const stale = 1_800;

/** How many keys are cached. The one that was looked up longest ago makes room. */
const cacheSize = 10_000;

/** Milliseconds for which uses of keys are collected before they are written down. */
const touchDelay = 5_000;

const keyForm = /^xr-[\w-]{43}$/;

interface Entry {
  readonly key: ApiKey;
  readonly readAt: number;
  refreshing: boolean;
}

/** Looks keys up, and remembers when each was used. */
class KeyRing {
  readonly #store: KeyStore;
  readonly #entries = new Map<string, Entry>();
  readonly #failed: (error: unknown) => void;
  #used = new Map<string, number>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(store: KeyStore, failed: (error: unknown) => void) {
    this.#store = store;
    this.#failed = failed;
  }

  /** @throws {RouterError} `unauthorized`; the text is the same whatever is wrong. */
  check(headers: Headers): ApiKey | Promise<ApiKey> {
    const secret = secretOf(headers);
    if (secret === undefined || !keyForm.test(secret)) throw unauthorized();
    const hash = hashKey(secret);
    const entry = this.#entries.get(hash);
    const age = entry === undefined ? Infinity : performance.now() - entry.readAt;
    if (age > stale) return this.#read(hash).then((key) => this.#admit(key));
    if (age > fresh && !entry!.refreshing) {
      entry!.refreshing = true;
      this.#read(hash).catch(this.#failed).finally(() => entry!.refreshing = false);
    }
    return this.#admit(entry!.key);
  }

  async #read(hash: string): Promise<ApiKey | undefined> {
    const readAt = performance.now();
    const key = await this.#store.find(hash);
    // Written anew, so that the map's order is the order of reading.
    this.#entries.delete(hash);
    if (key === undefined) return undefined;
    if (this.#entries.size >= cacheSize) {
      this.#entries.delete(this.#entries.keys().next().value!);
    }
    this.#entries.set(hash, { key, readAt, refreshing: false });
    return key;
  }

  #admit(key: ApiKey | undefined): ApiKey {
    const now = Date.now();
    if (!key?.active || (key.expiresAt !== null && key.expiresAt <= now)) throw unauthorized();
    this.#used.set(key.id, now);
    this.#timer ??= setTimeout(() => void this.flush().catch(this.#failed), touchDelay);
    return key;
  }

  /** Writes down when keys were used. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const used = this.#used;
    this.#used = new Map();
    await this.#store.touch(used);
  }
}

function secretOf(headers: Headers): string | undefined {
  // Another scheme, such as a proxy's Basic, says nothing about the key.
  const bearer = /^bearer +(\S+) *$/i.exec(headers.get("authorization") ?? "")?.[1];
  return bearer ?? headers.get("x-api-key")?.trim();
}

function unauthorized(): RouterError {
  return new RouterError(
    "unauthorized",
    'The API key is missing or not valid. Send "authorization: Bearer xr-…" or "x-api-key: xr-…"',
    { headers: { "www-authenticate": "Bearer" } },
  );
}

function adminCallsNoModel({ name }: ApiKey): RouterError {
  return new RouterError(
    "forbidden",
    `"${name}" is an admin key: it reads usage and calls no model. Make another key for that`,
  );
}

export default definePlugin({
  name: "auth",
  provides: ["caller"],
  setup(_config, host) {
    const keys = new KeyStore(host.database);
    const ring = new KeyRing(keys, (error) => {
      host.log.error("the keys' table cannot be used", { error: String(error) });
    });
    const check = async (headers: Headers) => {
      try {
        return await ring.check(headers);
      } catch (error) {
        if (error instanceof RouterError) throw error;
        throw new RouterError("unavailable", "API keys cannot be checked now. Try again", {
          retryAfterMs: 1_000,
          cause: error,
        });
      }
    };
    return {
      async onRequest(x) {
        const caller = await check(x.headers);
        x.state.caller = caller;
        if (caller.admin) throw adminCallsNoModel(caller);
      },
      routes(app) {
        app.use("/v1/*", async (c: Context<CallerEnv>, next) => {
          c.set("caller", await check(c.req.raw.headers));
          await next();
        });
      },
      async ready() {
        // No key has this hash: what counts is that it can be looked up.
        await keys.find("");
      },
      dispose: () => ring.flush(),
    };
  },
});
