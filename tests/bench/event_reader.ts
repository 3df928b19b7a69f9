/**
 * Splits a server-sent event stream into the data of its events, however its bytes were cut. Fields
 * other than `data` and comments are skipped, as the HTML standard's event stream format has it.
 */
export class EventReader {
  readonly #decoder = new TextDecoder("utf-8", { fatal: true });
  #rest = "";
  #data: string[] = [];

  /** Takes the next bytes. @returns The data of every event they complete. */
  push(piece: Uint8Array): string[] {
    const lines = (this.#rest + this.#decoder.decode(piece, { stream: true })).split("\n");
    this.#rest = lines.pop() ?? "";
    const events: string[] = [];
    for (const raw of lines) {
      const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
      if (line.startsWith("data:")) {
        this.#data.push(line.slice(line[5] === " " ? 6 : 5));
      } else if (line === "" && this.#data.length > 0) {
        events.push(this.#data.join("\n"));
        this.#data = [];
      }
    }
    return events;
  }

  /** Says that the stream is over. @throws {Error} An event was cut off. */
  end(): void {
    if (this.#rest !== "" || this.#data.length > 0) throw new Error("The last event is cut off");
  }
}
