// deno-lint-ignore-file camelcase -- the names of the wire
/**
 * Sources of GigaChat's web search as OpenAI's annotations.
 *
 * @module
 */

/** The place in an answer's text that a page stands behind. */
export interface UrlCitation {
  type: "url_citation";
  url_citation: {
    url: string;
    title: string;
    /** The first character of the mark. */
    start_index: number;
    /** The first character after it. */
    end_index: number;
  };
}

/** How a text names its sources: `[sources=[1,2]]`. */
const mark = /\[sources=\[([\d,\s]*)\]\]/g;

/** The sources of one answer; in a stream they come by and by. */
export class Citations {
  readonly #sources = new Map<string, { url: string; title: string }>();
  #text = "";

  /** Takes the next piece of the text. */
  push(text: string): void {
    this.#text += text;
  }

  /** Takes the sources that stand beside a text, by their numbers. */
  add(inlineData: unknown): void {
    const { sources } = (inlineData ?? {}) as { sources?: unknown };
    if (typeof sources !== "object" || sources === null) return;
    for (const [number, source] of Object.entries(sources)) {
      const { url, title } = (source ?? {}) as { url?: unknown; title?: unknown };
      if (typeof url !== "string") continue;
      this.#sources.set(number, { url, title: typeof title === "string" ? title : url });
    }
  }

  /** One annotation for each source that each mark in the text names. The marks stay in the text. */
  annotations(): UrlCitation[] {
    if (this.#sources.size === 0) return [];
    return [...this.#text.matchAll(mark)].flatMap(({ 0: found, 1: numbers, index }) =>
      numbers!.split(",").map((number) => this.#sources.get(number.trim()))
        .filter((source) => source !== undefined)
        .map(({ url, title }): UrlCitation => ({
          type: "url_citation",
          url_citation: { url, title, start_index: index, end_index: index + found.length },
        }))
    );
  }
}
