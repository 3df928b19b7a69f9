/**
 * A folder of files outside the project.
 *
 * @module
 */

/** A folder that is removed at the end. */
export interface Folder extends AsyncDisposable {
  readonly path: string;
}

/** Makes a folder with some files, by name; a name may hold folders. */
export async function dropIn(files: Readonly<Record<string, string>>): Promise<Folder> {
  const path = await Deno.makeTempDir({ prefix: "xrouter-test-" });
  for (const [name, text] of Object.entries(files)) {
    const parent = name.slice(0, name.lastIndexOf("/") + 1);
    await Deno.mkdir(`${path}/${parent}`, { recursive: true });
    await Deno.writeTextFile(`${path}/${name}`, text);
  }
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}
