/**
 * What comes with XRouter, and what somebody has dropped in beside it.
 *
 * @module
 */
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** Whether a plugin or a provider comes with XRouter: then the README of its folder lists it. */
export function isShipped(path: string): boolean {
  const [folder, file = ""] = path.slice(root.length).split("/");
  if (folder !== "plugins" && folder !== "providers") return false;
  const listed = Deno.readTextFileSync(`${root}${folder}/README.md`);
  const name = file.replace(/\.ts$/, "");
  return [name, `${name}.ts`, `${name}/`].some((each) => listed.includes(`\n| \`${each}\` `));
}
