/**
 * Passes files to the providers that keep them: `/v1/files` in OpenAI's shapes. A file belongs to the
 * key that uploaded it, and is used with the provider's account that took it.
 *
 * @module
 */
import { zValidator } from "@hono/zod-validator";
import { Hono, type MiddlewareHandler } from "hono";
import {
  type Attempt,
  type CallerEnv,
  definePlugin,
  isChat,
  RouterError,
  setting,
} from "xrouter/plugin";
import { z } from "zod";
import { refuseInvalid } from "../../core/refuse_invalid.ts";
import { wholeNumber } from "../../core/settings.ts";
import type { ApiKey } from "../../core/store/keys.ts";
import { FileStore, type OwnFile } from "./file_store.ts";
import { mostNamed, namedFiles } from "./named_files.ts";
import { readUpload } from "./upload_form.ts";
import { VendorFiles } from "./vendor_files.ts";

const limitError = "must be a whole number from 1 to 10000";

const listQuery = z.strictObject({
  purpose: z.string({ error: "must be given once" }).optional(),
  limit: z.string({ error: limitError }).regex(/^([1-9]\d{0,3}|10000)$/, { error: limitError })
    .transform(Number).optional(),
  order: z.enum(["asc", "desc"], { error: "must be asc or desc" }).optional(),
  after: z.string({ error: "must be the id of a file" }).optional(),
}, { error: "is no parameter. There are: purpose, limit, order, after" });

/** Behind {@linkcode known}, which lets only those pass who can have files. */
interface OwnerEnv {
  Variables: { caller: ApiKey };
}

export default definePlugin({
  name: "files",
  requires: ["caller"],
  config: z.strictObject({
    bodyLimit: setting(
      "XROUTER_FILE_LIMIT",
      wholeNumber(1024, 1024 ** 3).default(40 * 1024 * 1024),
      "Bytes that the upload of one file may have",
    ),
    perKey: setting(
      "XROUTER_FILES_PER_KEY",
      wholeNumber(0).default(1000),
      "Files that one key may have",
    ),
  }),
  setup({ bodyLimit, perKey }, { database, catalog, log }) {
    const store = new FileStore(database);
    const vendors = new VendorFiles(catalog, log);
    const routes = new Hono<OwnerEnv>();

    const own = async ({ id: keyId }: ApiKey, id: string): Promise<OwnFile> => {
      const file = await store.find(keyId, id);
      if (file !== undefined) return file;
      throw new RouterError("not_found", "This key has no such file", { param: "id" });
    };

    const tooMany = () =>
      new RouterError("forbidden", `A key has at most ${perKey} files. Delete some first`);

    routes.use("/files/*", known);

    routes.post("/files", async (c) => {
      const { id: keyId } = c.get("caller");
      if (await store.count(keyId) >= perKey) throw tooMany();
      const file = await vendors.upload(await readUpload(c.req.raw, bodyLimit));
      try {
        // Others may have been added meanwhile.
        if (!await store.add(keyId, file, perKey)) throw tooMany();
      } catch (error) {
        // What belongs to nobody must not stay there.
        await vendors.remove(file).catch(() => {});
        throw error;
      }
      return c.json(describe(file));
    });

    routes.get("/files", zValidator("query", listQuery, refuseInvalid), async (c) => {
      const caller = c.get("caller");
      const { purpose, limit = 10_000, order, after } = c.req.valid("query");
      const found = await store.list(caller.id, {
        purpose,
        after: after === undefined ? undefined : await own(caller, after),
        oldestFirst: order === "asc",
        limit: limit + 1,
      });
      const data = found.slice(0, limit).map(describe);
      return c.json({
        object: "list",
        data,
        first_id: data[0]?.id ?? null,
        last_id: data.at(-1)?.id ?? null,
        has_more: found.length > limit,
      });
    });

    routes.get("/files/:id", async (c) => {
      return c.json(describe(await own(c.get("caller"), c.req.param("id"))));
    });

    routes.get("/files/:id/content", async (c) => {
      const file = await own(c.get("caller"), c.req.param("id"));
      const body = await vendors.content(file, c.req.raw.signal);
      // A file of whoever made it must not run as a page of this address.
      return new Response(body, {
        headers: {
          "content-type": "application/octet-stream",
          "content-disposition": "attachment",
          "x-content-type-options": "nosniff",
        },
      });
    });

    routes.delete("/files/:id", async (c) => {
      const file = await own(c.get("caller"), c.req.param("id"));
      await vendors.remove(file);
      await store.remove(file);
      return c.json({ id: file.id, object: "file", deleted: true });
    });

    /** Lets a key name its own files only, and asks the account that has them. */
    const checkNamed = async (keyId: string, named: Map<string, string>, attempt: Attempt) => {
      const { provider } = attempt.target;
      const accounts = await store.accounts(keyId, provider, [...named.keys()]);
      for (const [id, param] of named) {
        if (named.size <= mostNamed && accounts.has(id)) continue;
        throw new RouterError(
          "invalid_request",
          named.size > mostNamed
            ? `"${param}" is one of more than ${mostNamed} files. Name fewer`
            : `"${param}" is no file that this key has at provider "${provider}". Upload it by POST /v1/files`,
          { param },
        );
      }
      const [account, other] = new Set(accounts.values());
      if (other !== undefined) {
        const [, param] = [...named].find(([id]) => accounts.get(id) === other)!;
        throw new RouterError(
          "invalid_request",
          `"${param}" is a file of another account of provider "${provider}" than those before it. Upload them again, and name them in requests of their own, or send their bytes in the request`,
          { param },
        );
      }
      attempt.account = account!;
    };

    return {
      onAttempt(x, attempt) {
        const keepsFiles = catalog.providers.get(attempt.target.provider)?.files !== undefined;
        const { body } = attempt;
        const named = keepsFiles && isChat(body) ? namedFiles(body) : undefined;
        return named?.size ? checkNamed(x.state.caller.id, named, attempt) : undefined;
      },
      routes(app) {
        app.route("/v1", routes);
      },
    };
  },
});

/** Refuses those who have no files: nobody, and admin keys. */
const known: MiddlewareHandler<CallerEnv> = async (c, next) => {
  const caller = c.get("caller");
  if (caller === undefined) {
    throw new RouterError("unauthorized", "Files are kept for those who send an API key");
  }
  if (caller.admin) {
    throw new RouterError("forbidden", "An admin key has no files, and reads none of other keys");
  }
  await next();
};

/** In OpenAI's shape. */
function describe({ id, bytes, createdAt, filename, purpose, provider }: OwnFile) {
  return {
    id,
    object: "file",
    bytes,
    created_at: Math.floor(createdAt / 1000),
    filename,
    purpose,
    status: "processed",
    provider,
  };
}
