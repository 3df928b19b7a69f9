/**
 * A running XRouter whose files a test changes.
 *
 * @module
 */
import { type CodeLimits, codeLimits } from "../../core/code_limits.ts";
import { dropIn } from "../support/drop_in.ts";
import { startRouter, type TestRouter } from "../support/router.ts";

/** What a reload says in the log when it took the change over. */
export const taken = "reloaded";

/** What it says when it did not. */
export const refused = "a change is refused; what ran before goes on";

/** Where files say what happens to them, by the name of their folder. */
const happenings = globalThis as unknown as Record<string, string[]>;

/** A running XRouter, and its files. */
export interface Reloading extends AsyncDisposable {
  readonly router: TestRouter;
  /** What happened to plugins of {@linkcode Reloading.plugin}. */
  readonly events: string[];
  /** The text of an expression that adds to `events`. */
  says(event: string): string;
  /** The text of a plugin that says what happens to it: `setup one`, `finish one`, `dispose one`. */
  plugin(word: string, name?: string): string;
  /** Writes files of the folder, waits for the log's line on it and returns what that says. */
  write(files: Readonly<Record<string, string | null>>, message?: string): Promise<string[]>;
}

/**
 * Starts it with files below `plugins/` and `providers/`, and with a configuration file `xrouter.json`.
 * Files are written beside their place and moved there, as editors do.
 */
export async function startReloading(
  files: Readonly<Record<string, string>> = {},
  env: Record<string, string> = {},
  limits: CodeLimits = codeLimits,
): Promise<Reloading> {
  const folder = await dropIn({
    "plugins/README.md": "",
    "providers/README.md": "",
    "xrouter.json": "{}",
    ...files,
  });
  const router = await startRouter(
    {
      XROUTER_PLUGINS_DIR: `${folder.path}/plugins`,
      XROUTER_PROVIDERS_DIR: `${folder.path}/providers`,
      XROUTER_CONFIG: `${folder.path}/xrouter.json`,
      ...env,
    },
    {},
    limits,
  );
  if (!router.program.watch()) throw new Error("Nothing is watched");
  const place = `happenings of ${folder.path}`;
  const events = happenings[place] ??= [];
  const says = (event: string) => `void globalThis["${place}"].push("${event}")`;
  return {
    router,
    events,
    says,
    plugin: (word, name = "probe") => pluginText(word, name, says),
    async write(changed, message = taken) {
      const line = router.logged(message);
      for (const [name, text] of Object.entries(changed)) {
        const path = `${folder.path}/${name}`;
        if (text === null) await Deno.remove(path, { recursive: true });
        else {
          const beside = `${folder.path}/.${name.replaceAll("/", "_")}.new`;
          await Deno.writeTextFile(beside, text);
          await Deno.rename(beside, path);
        }
      }
      const { changes, problems } = await line;
      return (changes ?? problems) as string[];
    },
    async [Symbol.asyncDispose]() {
      await router[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
      delete happenings[place];
    },
  };
}

function pluginText(word: string, name: string, says: (event: string) => string): string {
  return `
import { definePlugin } from "xrouter/plugin";

export default definePlugin({
  name: "${name}",
  setup() {
    ${says(`setup ${word}`)};
    return {
      onRequest: (x) => void (x.replyHeaders["x-${name}"] = "${word}"),
      onChunk: () => ${says(`chunk ${word}`)},
      onFinish: () => ${says(`finish ${word}`)},
      dispose: () => ${says(`dispose ${word}`)},
    };
  },
});
`;
}

/** The text of a provider that needs no key. */
export function providerText(name: string, baseUrl: string, rest = ""): string {
  return `
import { defineProvider } from "xrouter/provider";
import { z } from "zod";

export default defineProvider({
  name: "${name}",
  baseUrl: "${baseUrl}",
  settings: z.strictObject({}),
  ${rest}
});
`;
}
