/**
 * Names of functions that GigaChat takes, for names that clients give, and back.
 *
 * @module
 */
import type { ChatBody } from "xrouter/provider";

/** GigaChat's rule: Latin letters, digits, `_`, `-` and `.`, no digit first; the safe part of it. */
const allowed = /^[A-Za-z_][A-Za-z0-9_.-]*$/;

/** Functions that GigaChat has built in. A client's function of that name would call these. */
const builtIn: ReadonlySet<string> = new Set([
  "text2image",
  "text2model3d",
  "get_file_content",
  "web_search",
  "code_interpreter",
  "image_generate",
  "url_content_extraction",
  "model_3d_generate",
]);

/**
 * The names of one request. They depend on its body alone, so that the decoder, made from the same
 * body, finds the same.
 */
export class FunctionNames {
  readonly #outward = new Map<string, string>();
  readonly #inward = new Map<string, string>();

  /** @param body The request in OpenAI's shape; its names are taken as far as they are strings. */
  constructor(body: ChatBody) {
    const names = namesIn(body);
    const taken = new Set(names.filter(isUsable));
    for (const name of names) {
      if (isUsable(name) || this.#outward.has(name)) continue;
      const stem = usable(name);
      let free = stem;
      for (let number = 2; taken.has(free); number++) free = `${stem}_${number}`;
      taken.add(free);
      this.#outward.set(name, free);
      this.#inward.set(free, name);
    }
  }

  /** The name to send for a client's name. */
  outward(name: string): string {
    return this.#outward.get(name) ?? name;
  }

  /** The client's name for the one that GigaChat sends. */
  inward(name: string): string {
    return this.#inward.get(name) ?? name;
  }
}

function isUsable(name: string): boolean {
  return allowed.test(name) && !builtIn.has(name);
}

function usable(name: string): string {
  const letters = name.replaceAll(/[^A-Za-z0-9_.-]/g, "_").replace(/^(?![A-Za-z_])/, "_");
  return builtIn.has(letters) ? `user_${letters}` : letters;
}

/** The names of the tools and of the calls in the history. */
function namesIn(body: ChatBody): string[] {
  const named: unknown[] = [
    ...body.tools ?? [],
    ...body.messages.flatMap((message) => message.tool_calls ?? []),
  ];
  return named.map((each) => (each as { function?: { name?: unknown } }).function?.name)
    .filter((name) => typeof name === "string");
}
