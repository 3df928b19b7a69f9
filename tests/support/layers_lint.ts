/**
 * The layer rule, as a plugin of `deno lint`. It lives with the tests, since it guards the tree as
 * they do, never runs in production, and names layers that `core/` must not know.
 */
import { pathToFileURL } from "node:url";
import config from "../../deno.json" with { type: "json" };

const root = new URL("../../", import.meta.url).href;
const importMap: Record<string, string> = config.imports;

const lowerIt = "Move what both need down to core/";

/** By top-level name: the rule for the files in it, and the cure. All else may import anything. */
const rules: Record<string, { rule: string; cure: string }> = {
  "main.ts": {
    rule: "main.ts imports core and loads plugins and providers by path",
    cure: `${lowerIt}, or load the module by path`,
  },
  "core": {
    rule: "core imports core",
    cure: `${lowerIt}, or take the value as an argument`,
  },
  "plugins": {
    rule: "a plugin imports core, never another plugin or a provider",
    cure: `${lowerIt}, or hand the value over in \`Exchange.state\``,
  },
  "providers": {
    rule: "a provider imports core, never another provider or a plugin",
    cure: lowerIt,
  },
};

/** The top-level names that hold code; an import of any other file, such as JSON, is free. */
const layers = [...Object.keys(rules), "tests"];

export default {
  name: "xrouter",
  rules: {
    layers: {
      create(context) {
        const file = pathToFileURL(context.filename).href;
        const from = withinRoot(file);
        const law = rules[from.layer];
        if (law === undefined || file.endsWith("_test.ts")) return {};

        const check = (source: Deno.lint.Node | null) => {
          const target = source && resolve(leadingText(source), file);
          if (!target) return;
          const to = withinRoot(target);
          if (!layers.includes(to.layer) || to.layer === "core" || to.unit === from.unit) return;
          context.report({
            node: source,
            message: `"${from.path}" imports "${to.path}", but ${law.rule}`,
            hint: law.cure,
          });
        };
        return {
          ImportDeclaration: (node) => check(node.source),
          ExportAllDeclaration: (node) => check(node.source),
          ExportNamedDeclaration: (node) => check(node.source),
          ImportExpression: (node) => check(node.source),
          TSImportType: (node) => check(node.argument),
          TSExternalModuleReference: (node) => check(node.expression),
        };
      },
    },
  },
} satisfies Deno.lint.Plugin;

/** Where a file URL is: its layer, and its unit, which is the plugin or provider it is part of. */
function withinRoot(url: string): { path: string; layer: string; unit: string } {
  const path = url.startsWith(root) ? url.slice(root.length) : "";
  const [layer = "", member] = path.split("/");
  const unit = layer === "plugins" || layer === "providers" ? `${layer}/${member}` : layer;
  return { path, layer, unit };
}

/** The file URL that a specifier leads to, or `undefined` for a library. */
function resolve(specifier: string, file: string): string | undefined {
  const mapped = importMap[specifier];
  if (mapped !== undefined) return resolve(mapped, root);
  return /^(\.{0,2}\/|file:)/.test(specifier) ? new URL(specifier, file).href : undefined;
}

/** The text that an import's source is sure to begin with, which for a literal is all of it. */
function leadingText(source: Deno.lint.Node): string {
  switch (source.type) {
    case "Literal":
      return String(source.value);
    case "TemplateLiteral":
      return source.quasis[0]?.cooked ?? "";
    case "BinaryExpression":
      return leadingText(source.left);
    case "TSLiteralType":
      return leadingText(source.literal);
    default:
      return "";
  }
}
