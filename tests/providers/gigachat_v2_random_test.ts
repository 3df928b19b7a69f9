import { assertInstanceOf } from "@std/assert";
import type { ChatBody } from "../../core/chat.ts";
import { RouterError } from "../../core/errors.ts";
import gigachat from "../../providers/gigachat/mod.ts";
import { gigachatSettings } from "../../providers/gigachat/settings.ts";
import { callOf } from "../support/call.ts";
import { bodyOf, type Question } from "../support/fake_gigachat_call.ts";
import { seededRandom } from "../support/random.ts";
import { pick, randomJson } from "../support/random_json.ts";

const tools = [{ type: "function", function: { name: "weather" } }];

function decoderOf(question: Question = {}) {
  const call = callOf({ settings: gigachatSettings.parse({ v2Models: ["*"] }) });
  return gigachat.decoder!(bodyOf(question) as ChatBody, call as never);
}

Deno.test("v2: whatever comes, it is an answer or an error that is named", () => {
  const random = seededRandom();
  const json = () => randomJson(random, 3);
  const part = () =>
    pick(random, [
      () => `{"text":${json()}}`,
      () => `{"function_call":${json()}}`,
      () => `{"function_call":{"id":${json()},"name":${json()},"arguments":${json()}}}`,
      () => `{"files":${json()},"inline_data":{"sources":${json()}}}`,
      () => `{"text":"[sources=[1,x,]]","inline_data":{"sources":{"1":${json()}}}}`,
      json,
    ])();
  const message = () =>
    pick(random, [
      () => `{"role":"assistant","content":[${part()},${part()}],"tool_state_id":${json()}}`,
      () => `{"role":"reasoning","content":[${part()}]}`,
      () => `{"role":${json()},"content":${json()},"reasoning_content":${json()}}`,
      json,
    ])();
  const event = () =>
    pick(random, [
      () => `{"messages":[${message()},${message()}],"created_at":${json()}}`,
      () => `{"messages":${json()},"finish_reason":${json()},"usage":${json()}}`,
      () => `{"finish_reason":"stop","usage":{"input_tokens":${json()}}}`,
      json,
    ])();
  const names = [undefined, "response.message.delta", "response.tool.completed", "x"];
  for (let round = 0; round < 3_000; round++) {
    const decoder = decoderOf(pick(random, [{}, { tools }, { functions: [] }]));
    const given = event();
    const tries = [
      () => decoderOf().whole(JSON.parse(given)),
      () => decoder.event(given, pick(random, names)),
      () => decoder.event(event(), "response.message.done"),
    ];
    for (const attempt of tries) {
      try {
        attempt();
      } catch (error) {
        assertInstanceOf(error, RouterError, `${given}: ${error}`);
      }
    }
  }
});
