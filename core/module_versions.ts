/**
 * Modules that are loaded anew once their file has changed.
 *
 * A module is loaded once for each URL. A changed one gets another URL, with `?v=` and a number, and
 * so does every one that imports it, however far away; what did not change stays the module that it
 * was. Who imports what is seen by a hook of the runtime's loader, which also leads an import of a
 * changed file to its new URL.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import nodeModule from "node:module";
import { pathToFileURL } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { inTime } from "./code_limits.ts";
import { reasonOf } from "./errors.ts";

/** A file below one of the folders. */
interface KnownFile {
  /** Of its content when it was last looked at; empty where it could not be read. */
  hash: string;
  /** 0 for the URL without a number. */
  version: number;
  /** Whether it was loaded without an error: `undefined` while nobody knows. */
  loaded: boolean | undefined;
  /** The URLs of the files below the folders that it imports. */
  readonly imports: Set<string>;
}

/** Files by URL, without a version. The modules are the process's, and so is what is known of them. */
const files = new Map<string, KnownFile>();

/** URLs of the folders, with a slash at the end. */
const folders = new Set<string>();

let versions = 0;
let hooked = false;

/** Whether the runtime lets changed files be loaded with all that they import. */
export const canLoadAnew: boolean = typeof nodeModule.registerHooks === "function";

/** Finds out which files of a folder have changed since they were loaded. */
export function findChanges(folder: string): void {
  hookLoader();
  const root = `${pathToFileURL(folder).href}/`;
  folders.add(root);
  const known = [...files].filter(([url]) => url.startsWith(root));
  const changed = new Set<KnownFile>();
  for (const [url, file] of known) {
    const hash = hashOf(url);
    // What failed is tried again: the reason may lie elsewhere.
    if (hash !== file.hash || file.loaded === false) changed.add(file);
    file.hash = hash;
  }
  const stale = (file: KnownFile) =>
    file.imports.values().some((url) => changed.has(files.get(url)!));
  for (let size = -1; size < changed.size;) {
    size = changed.size;
    for (const [, file] of known) if (stale(file)) changed.add(file);
  }
  for (const file of changed) {
    file.version = ++versions;
    file.loaded = undefined;
    file.imports.clear();
  }
}

/**
 * Imports a file as it was when {@linkcode findChanges} looked at its folder last.
 *
 * @param path The file, below such a folder.
 * @param limitMs Milliseconds that it may take.
 * @throws {Error} with what is wrong with the file, or with one that it imports, and the cure.
 */
export async function importCurrent(
  path: string,
  limitMs: number,
): Promise<{ readonly default?: unknown }> {
  const { href } = pathToFileURL(path);
  try {
    const module = await inTime(importWhole(versioned(href)), limitMs, endlessImport);
    note(href, true);
    return module;
  } catch (error) {
    note(href, false);
    throw error;
  }
}

/** Imports a module; whatever that throws is told as an error with its cure. */
async function importWhole(url: string): Promise<{ readonly default?: unknown }> {
  try {
    return await import(url);
  } catch (error) {
    const reason = stripVTControlCharacters(reasonOf(error));
    const cure = /^(module|exports|require) is not defined/.test(reason) ? commonJs : mendIt;
    throw new Error(`its import throws: ${reason}. ${cure}`, { cause: error });
  }
}

/** Notes how a file was loaded, for all that it imports too; what somebody else could load is well. */
function note(url: string, loaded: boolean, seen: Set<string> = new Set()): void {
  if (seen.has(url)) return;
  seen.add(url);
  const file = files.get(url)!;
  file.loaded = loaded || file.loaded === true;
  for (const each of file.imports) note(each, loaded, seen);
}

/** The URL under which a file is loaded now. It is looked at before, so that no change is missed. */
function versioned(url: string): string {
  let file = files.get(url);
  if (file === undefined) {
    file = { hash: hashOf(url), version: 0, loaded: undefined, imports: new Set() };
    files.set(url, file);
  }
  return file.version === 0 ? url : `${url}?v=${file.version}`;
}

function hashOf(url: string): string {
  try {
    return createHash("sha256").update(Buffer.from(readFileSync(new URL(url)))).digest("base64");
  } catch {
    return "";
  }
}

const endlessImport =
  "Let no top-level await of it, or of what it imports, wait for what may not come";

const mendIt = "Mend that, or begin its name with _ to have it left alone";

const commonJs = 'It is CommonJS: write "import" for "require", and "export default" for "exports"';

/** Has the runtime's loader ask where each import leads. */
function hookLoader(): void {
  if (hooked || !canLoadAnew) return;
  hooked = true;
  nodeModule.registerHooks({
    resolve(specifier, context, next) {
      const found = next(specifier, context);
      const url = withoutVersion(found.url);
      if (!folders.values().some((folder) => url.startsWith(folder))) return found;
      const parent = withoutVersion(context.parentURL ?? "");
      files.get(parent)?.imports.add(url);
      return { ...found, url: versioned(url) };
    },
  });
}

function withoutVersion(url: string): string {
  return url.replace(/[?#].*$/s, "");
}
