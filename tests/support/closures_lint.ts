/**
 * A rule about functions, as a plugin of `deno lint`. V8 takes a function that is written right into a
 * property for a method of something that stays, and puts it among its old objects. There it keeps
 * all that it can reach until the next great collection: a whole request, long over
 * (core/decisions/0023).
 */
import { pathToFileURL } from "node:url";

const root = new URL("../../", import.meta.url).href;

const literals = ["ArrowFunctionExpression", "FunctionExpression", "ClassExpression"];

export default {
  name: "xrouter-closures",
  rules: {
    "named-first": {
      create(context) {
        const file = pathToFileURL(context.filename).href;
        const path = file.startsWith(root) ? file.slice(root.length) : "";
        if (!/^(core|plugins|providers)\//.test(path) || path.endsWith("_test.ts")) return {};
        return {
          AssignmentExpression(node) {
            const isLiteral = literals.includes(withoutTypes(node.right).type);
            if (node.left.type !== "MemberExpression" || !isLiteral) return;
            context.report({
              node,
              message:
                "V8 keeps a function that is written right into a property, and all it reaches",
              hint: "Give it a name first: `const stop = () => …; call.onStop = stop`",
            });
          },
        };
      },
    },
  },
} satisfies Deno.lint.Plugin;

function withoutTypes(node: Deno.lint.Expression): Deno.lint.Expression {
  switch (node.type) {
    case "TSAsExpression":
    case "TSSatisfiesExpression":
    case "TSNonNullExpression":
      return withoutTypes(node.expression);
    default:
      return node;
  }
}
