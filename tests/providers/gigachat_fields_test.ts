/** What GigaChat does with each field of OpenAI's, tried out; `deno task fields` writes it down. */
import { assert, assertEquals } from "@std/assert";
import { FieldProbe, type Version } from "../support/field_probe.ts";
import { answerVerdictOf, verdictOf } from "../support/field_verdict.ts";
import { renderTable, type Row, withBetweenMarks } from "../support/fields_table.ts";
import {
  answerFields,
  answerMessageFields,
  answerRows,
  choiceFields,
  usageFields,
} from "./gigachat_answer_fields.ts";
import {
  embeddingsAnswerFields,
  embeddingsAnswerRows,
  embeddingsAnswerVerdictOf,
  embeddingsFields,
  embeddingsRows,
  embeddingsVerdictOf,
} from "./gigachat_embeddings_fields.ts";
import { messageFields, messageRows } from "./gigachat_message_fields.ts";
import { requestFields, samplingRows, streamOptions } from "./gigachat_request_fields.ts";
import { toolRows } from "./gigachat_tool_fields.ts";

const readme = new URL("../../providers/README.md", import.meta.url);
const requestRows = [...samplingRows, ...messageRows, ...toolRows];
const versions: readonly Version[] = ["v1", "v2"];

interface Tried {
  readonly field: string;
  readonly value?: string;
  readonly neutral?: unknown;
  readonly note?: string;
}

/** Tries fields out one after the other, because all ask one fake. */
async function rowsOf<Entry extends Tried>(
  entries: readonly Entry[],
  ...tries: ((entry: Entry) => Promise<string>)[]
): Promise<Row[]> {
  const rows: Row[] = [];
  for (const entry of entries) {
    const { field, value, neutral, note = "" } = entry;
    const verdicts: string[] = [];
    for (const attempt of tries) {
      try {
        verdicts.push(await attempt(entry));
      } catch (error) {
        throw new Error(`${field} ${value ?? ""}: ${(error as Error).message}`, { cause: error });
      }
    }
    const fine = neutral === undefined ? "" : `; \`${JSON.stringify(neutral)}\` is fine`;
    rows.push({ field, value, verdicts, note: note + fine });
  }
  return rows;
}

Deno.test("gigachat: providers/README.md says of every field what is seen of it", async () => {
  await using probe = await FieldProbe.start();
  const chat = ["v1", "v2", "how"];
  const asked = await rowsOf(
    requestRows,
    ...versions.map((version) => (entry: typeof requestRows[number]) =>
      verdictOf(entry, version, probe)
    ),
  );
  const answered = await rowsOf(
    answerRows,
    ...versions.map((version) => (entry: typeof answerRows[number]) =>
      answerVerdictOf(entry, version, probe)
    ),
  );
  const embedding = await rowsOf(embeddingsRows, (entry) => embeddingsVerdictOf(entry, probe));
  const embedded = await rowsOf(
    embeddingsAnswerRows,
    (entry) => embeddingsAnswerVerdictOf(entry, probe),
  );
  const tables = [
    renderTable(["chat request", ...chat], asked),
    renderTable(["chat answer", ...chat], answered),
    renderTable(["embeddings request", "v1", "how"], embedding),
    renderTable(["embeddings answer", "v1", "how"], embedded),
  ].join("\n\n");
  const before = await Deno.readTextFile(readme);
  const after = withBetweenMarks(before, tables);
  if (Deno.env.get("XROUTER_FIELDS") === "write") await Deno.writeTextFile(readme, after);
  else assertEquals(before, after, "The table is out of date: run `deno task fields`");
});

Deno.test("gigachat: no field of OpenAI's is left untried", () => {
  const hasRow = (rows: readonly Tried[], path: string) =>
    rows.some(({ field }) =>
      field === path || field.startsWith(`${path}.`) || field.startsWith(`${path}[]`)
    );
  const lists: [rows: readonly Tried[], under: string, fields: Readonly<Record<string, true>>][] = [
    [requestRows, "", requestFields],
    [requestRows, "stream_options.", streamOptions],
    [requestRows, "messages[].", messageFields],
    [answerRows, "", answerFields],
    [answerRows, "choices[].", choiceFields],
    [answerRows, "choices[].message.", answerMessageFields],
    [answerRows, "usage.", usageFields],
    [embeddingsRows, "", embeddingsFields],
    [embeddingsAnswerRows, "", embeddingsAnswerFields],
  ];
  for (const [rows, under, fields] of lists) {
    const missing = Object.keys(fields).filter((field) => !hasRow(rows, `${under}${field}`));
    assertEquals(missing, [], `fields under "${under}"`);
    assert(Object.keys(fields).length > 1);
  }
});
