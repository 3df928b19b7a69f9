// deno-lint-ignore-file camelcase -- the names of the wire
/** The fields of OpenAI's messages, and how each is tried out. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import type OpenAI from "openai";
import { mintCallId } from "../../providers/gigachat/call_id.ts";
import { type Fields, type Seen, stateId } from "../support/field_probe.ts";
import type { RequestField } from "../support/field_verdict.ts";
import { dataUrl, filePart, imagePart, png, textPart } from "../support/files.ts";

/** Every field of OpenAI's messages, whatever their role. */
export const messageFields: Readonly<
  Record<
    | keyof OpenAI.ChatCompletionUserMessageParam
    | keyof OpenAI.ChatCompletionAssistantMessageParam
    | keyof OpenAI.ChatCompletionToolMessageParam,
    true
  >
> = {
  audio: true,
  content: true,
  function_call: true,
  name: true,
  refusal: true,
  role: true,
  tool_call_id: true,
  tool_calls: true,
};

const idOfState = mintCallId(stateId);
const hello = { role: "user", content: "Привет" };
const system = { role: "system", content: "Кратко." };
const messages = (...list: Fields[]): Fields => ({ messages: list });
const user = (...content: unknown[]) => messages({ role: "user", content });
const asked = (name: string, id: string) => ({
  id,
  type: "function",
  function: { name, arguments: '{"city":"Томск"}' },
});
const history = (...tool_calls: Fields[]) => ({ role: "assistant", content: null, tool_calls });
const result = (tool_call_id: string) => ({ role: "tool", tool_call_id, content: "Тепло" });
/** Whether the messages as GigaChat got them have a piece of JSON. */
const says = ({ messages }: Fields, piece: string) =>
  assertStringIncludes(JSON.stringify(messages), piece);

/** Whether each message as GigaChat got it names one file that GigaChat has. */
const hasFiles = (count: number) => ({ version, sent, files }: Seen) => {
  const messages = sent.messages as Fields[];
  assertEquals(messages.length, count);
  for (const { attachments, content } of messages) {
    const [id, ...others] = version === "v1"
      ? attachments as string[]
      : (content as { files?: { id: string }[] }[]).flatMap(({ files = [] }) =>
        files.map(({ id }) => id)
      );
    assertEquals([files.has(id!), others], [true, []]);
  }
};

/** The texts of the messages as GigaChat got them. */
const texts = ({ messages }: Fields) =>
  (messages as { content: string | { text?: string }[] }[]).map(({ content }) =>
    typeof content === "string" ? content : content.map(({ text }) => text).join("|")
  );

/** The results as GigaChat got them, in their order. */
const results = ({ version, sent }: Seen) =>
  (sent.messages as { role: string; name: string; content: unknown }[]).flatMap((
    { role, name, content },
  ) =>
    version === "v1"
      ? role === "function" ? [{ name, result: JSON.parse(content as string) }] : []
      : (content as Fields[]).flatMap(({ function_result: result }) => result ?? [])
  );

/** The messages as GigaChat got them, each by its role. */
const roles = ({ messages }: Fields) => (messages as { role: string }[]).map(({ role }) => role);

/** The table's rows. */
export const messageRows: readonly RequestField[] = [
  {
    field: "messages[].role",
    value: "developer",
    ask: messages({ ...system, role: "developer" }, hello),
    see: ({ sent }) => assertEquals(roles(sent), ["system", "user"]),
    note: "`system`",
  },
  {
    field: "messages[].role",
    value: "system, later ones",
    names: "messages[]",
    ask: messages(system, hello, { ...system, content: "По-русски." }),
    see: ({ sent }) => {
      assertEquals(roles(sent), ["system", "user"]);
      assertEquals(texts(sent)[0], "Кратко.\n\nПо-русски.");
    },
    note: "all become one, the first message",
  },
  {
    field: "messages[].role",
    value: "function",
    ask: messages(
      hello,
      { role: "assistant", content: null, function_call: asked("weather", "").function },
      { role: "function", name: "weather", content: "Тепло" },
    ),
    see: ({ version, sent }) =>
      assertEquals(roles(sent), ["user", "assistant", version === "v1" ? "function" : "tool"]),
    note: "v2: `tool`",
  },
  {
    field: "messages[].content",
    ask: messages({ role: "user", content: "Который час?" }, {
      role: "assistant",
      content: null,
    }, hello),
    see: ({ sent }) => assertEquals(texts(sent), ["Который час?", "", "Привет"]),
    note: "passes; `null` is an empty text",
  },
  {
    field: "messages[].content[].text",
    ask: user(textPart("раз"), textPart("два")),
    see: ({ sent }) => says(sent, "раз\\nдва"),
    note: "the parts become one text, a line each",
  },
  {
    field: "messages[].content[].image_url",
    ask: user(textPart("Что здесь?"), imagePart(dataUrl(png("a"))), imagePart(dataUrl(png("b")))),
    see: hasFiles(2),
    note: "uploaded; a message for each, see [files](gigachat/files.md)",
  },
  {
    field: "messages[].content[].image_url.detail",
    base: user(textPart("Что здесь?"), imagePart(dataUrl(png("a")))),
    ask: user(textPart("Что здесь?"), {
      type: "image_url",
      image_url: { url: dataUrl(png("a")), detail: "low" },
    }),
    see: ({ changed }) => assertEquals(changed, ["messages[0].content[1].image_url.detail"]),
    note: "`x-xrouter-changed` names it",
  },
  {
    field: "messages[].content[].input_audio",
    ask: user({
      type: "input_audio",
      input_audio: { data: btoa("ID3 recording"), format: "mp3" },
    }),
    see: hasFiles(1),
    note: "uploaded",
  },
  {
    field: "messages[].content[].file.file_data",
    ask: user(textPart("О чём это?"), filePart(new TextEncoder().encode("%PDF-1.7"), "a.pdf")),
    see: hasFiles(1),
    note: "uploaded",
  },
  {
    field: "messages[].content[].file.file_id",
    ask: (file_id) => user(textPart("Что здесь?"), { type: "file", file: { file_id } }),
    see: hasFiles(1),
    note: "a file that was uploaded by `POST /v1/files`",
  },
  {
    field: "messages[].content[].refusal",
    ask: messages(hello, {
      role: "assistant",
      content: [{ type: "refusal", refusal: "Нет" }],
    }, hello),
    see: ({ sent }) => says(sent, "Нет"),
    note: "a text like another",
  },
  {
    field: "messages[].content[].prompt_cache_breakpoint",
    base: user(textPart("раз")),
    ask: user({ ...textPart("раз"), prompt_cache_breakpoint: {} }),
  },
  {
    field: "messages[].refusal",
    ask: messages(
      { role: "assistant", content: null, refusal: "Нет" },
      { role: "assistant", content: "Да", refusal: "Нет" },
      hello,
    ),
    base: messages(
      { role: "assistant", content: null },
      { role: "assistant", content: "Да" },
      hello,
    ),
    see: ({ sent }) => assertEquals(texts(sent), ["Нет", "Да", "Привет"]),
    note: "the text of a message that has no other",
  },
  {
    field: "messages[].name",
    ask: messages({ ...hello, name: "anna" }),
    see: ({ changed }) => assertEquals(changed, ["messages[0].name"]),
    note: "`x-xrouter-changed` names it",
  },
  {
    field: "messages[].audio",
    ask: messages(hello, { role: "assistant", audio: { id: "audio_1" } }, hello),
    note: "cannot be sent to GigaChat: send its text",
  },
  {
    field: "messages[].tool_calls",
    ask: messages(
      hello,
      history(asked("weather", idOfState), asked("time", "b")),
      result(idOfState),
      result("b"),
    ),
    see: ({ version, sent }) => {
      assertEquals(
        roles(sent),
        version === "v1"
          ? ["user", "assistant", "function", "assistant", "function"]
          : ["user", "assistant", "tool", "tool"],
      );
      const { functions_state_id, tools_state_id } = (sent.messages as Fields[])[1]!;
      assertEquals(functions_state_id ?? tools_state_id, stateId);
    },
    note: "v1: call, result, call, result. An id carries `functions_state_id`",
  },
  {
    field: "messages[].tool_calls[].custom",
    ask: messages(
      hello,
      history({ id: "a", type: "custom", custom: { name: "sql", input: "SELECT" } }),
      result("a"),
    ),
    see: ({ sent }) => says(sent, '"name":"sql","arguments":{"arguments":"SELECT"}'),
    note: "a function's call whose arguments are the text",
  },
  {
    field: "messages[].tool_call_id",
    base: messages(hello, history(asked("a", "1"), asked("b", "2")), result("1"), result("2")),
    ask: messages(
      hello,
      history(asked("a", "1"), asked("b", "2")),
      { ...result("2"), content: "два" },
      { ...result("1"), content: '{"n":1}' },
    ),
    see: (seen) =>
      assertEquals(results(seen), [
        { name: "a", result: { n: 1 } },
        { name: "b", result: { result: "два" } },
      ]),
    note: "results come in the order of their calls, each as a JSON object",
  },
  {
    field: "messages[].function_call",
    ask: messages(
      hello,
      { role: "assistant", content: null, function_call: asked("weather", "").function },
      { role: "function", name: "weather", content: "Тепло" },
    ),
    see: ({ sent }) => says(sent, '"name":"weather","arguments":{"city":"Томск"}'),
    note: "passes, with arguments as an object",
  },
];
