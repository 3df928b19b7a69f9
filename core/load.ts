/**
 * Loads a folder of modules: whatever file lies there is a plugin, or a provider.
 *
 * @module
 */
import { join, resolve } from "node:path";
import { codeLimits } from "./code_limits.ts";
import { reasonOf } from "./errors.ts";
import { findChanges, importCurrent } from "./module_versions.ts";
import type { Problem } from "./settings.ts";

/** A module's default export and the file it came from. */
export interface LoadedModule {
  /** The file's name inside its folder: `20_rate_limit.ts`, `gigachat/mod.ts`. */
  readonly file: string;
  /** Where it lies. */
  readonly path: string;
  /** Its default export, unchecked; the same object until the file, or one that it imports, changes. */
  readonly value: unknown;
}

const moduleFile = /\.(ts|js|mjs)$/;
const code = /(?<!\.d)\.([mc]?[tj]s|[tj]sx)$/i;
const testFile = /_test\.\w+$/;
/** The second is what a file system keeps at its root. */
const leftAlone = /^[_.]|^lost\+found$|^node_modules$/;

/**
 * Imports every module of some folders, as its file is now. A module is a file that ends in `.ts`, `.js` or `.mjs`, or a
 * folder with a `mod` file. What begins with `_` or `.`, or ends in `_test` or `.d`, is left alone, and
 * so is a folder without code: one of data, for instance.
 *
 * @param folders The folders in turn; one that does not exist is a problem.
 * @param limitMs Milliseconds that each may take.
 * @returns The modules by file name, numbers first, and every problem at once.
 */
export async function loadModules(
  folders: readonly string[],
  limitMs: number = codeLimits.load,
): Promise<{ modules: LoadedModule[]; problems: Problem[] }> {
  const problems: Problem[] = [];
  const modules: LoadedModule[] = [];
  for (const folder of folders) {
    let files: string[];
    try {
      files = await moduleFiles(resolve(folder), problems);
    } catch {
      problems.push({
        at: folder,
        message: "cannot be read as a folder. Create it or correct its name",
      });
      continue;
    }
    findChanges(resolve(folder));
    for (const file of files) {
      const path = join(resolve(folder), file);
      try {
        const module = await importCurrent(path, limitMs);
        if (module.default === undefined) {
          problems.push({
            at: path,
            message: "has no default export. Export what it defines by default",
          });
        } else modules.push({ file, path, value: module.default });
      } catch (error) {
        problems.push({ at: path, message: `cannot be loaded: ${reasonOf(error)}` });
      }
    }
  }
  return { modules: modules.sort((a, b) => compareFiles(a.file, b.file)), problems };
}

async function moduleFiles(folder: string, problems: Problem[]): Promise<string[]> {
  const files: string[] = [];
  for await (const { name } of Deno.readDir(folder)) {
    if (leftAlone.test(name)) continue;
    const path = join(folder, name);
    const info = await stat(path);
    if (info?.isDirectory) {
      const found: string[] = [];
      for (const mod of ["mod.ts", "mod.js", "mod.mjs"]) {
        if ((await stat(join(path, mod)))?.isFile) found.push(`${name}/${mod}`);
      }
      files.push(...found);
      if (found.length === 0 && await holdsCode(path)) {
        const message = "has no mod.ts. Add one, or begin its name with _ to have it left alone";
        problems.push({ at: path, message });
      }
    } else if (isCode(name)) {
      const message = !moduleFile.test(name)
        ? "is not loaded: a module ends in .ts, .js or .mjs. Rename it"
        : !info?.isFile
        ? "is not loaded: it is no file, and no link to one. Remove it"
        : undefined;
      if (message === undefined) files.push(name);
      else problems.push({ at: path, message });
    }
  }
  return files;
}

/** Whether somebody may have meant a file as a module. */
function isCode(name: string): boolean {
  return code.test(name) && !testFile.test(name);
}

/** Whether somebody may have meant a folder as a module; one that cannot be read may be one, too. */
async function holdsCode(folder: string): Promise<boolean> {
  try {
    for await (const { name, isDirectory } of Deno.readDir(folder)) {
      if (leftAlone.test(name)) continue;
      if (isDirectory ? await holdsCode(join(folder, name)) : isCode(name)) return true;
    }
    return false;
  } catch {
    return true;
  }
}

/** What a path leads to; `undefined` where that is nothing. */
function stat(path: string): Promise<Deno.FileInfo | undefined> {
  return Deno.stat(path).catch(() => undefined);
}

/** By number where both have one, then by name, whatever folder they lie in. */
function compareFiles(a: string, b: string): number {
  const difference = Number.parseInt(a) - Number.parseInt(b);
  return difference || (a < b ? -1 : a > b ? 1 : 0);
}
