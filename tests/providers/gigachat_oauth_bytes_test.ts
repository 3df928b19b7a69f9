/** GigaChat's sign-in as the bytes of HTTP: tokens, and the codes of its refusals. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { ask, connectTo } from "../support/fake_gigachat_call.ts";
import { differences } from "../support/fake_gigachat_schema.ts";
import { HeldClock } from "../support/clock.ts";
import { namesIn, RawGigachat, readHttp, spokenWords } from "../support/raw_gigachat.ts";
import { ask as question, startRouter } from "../support/router.ts";

const oauth = "POST /api/v2/oauth";
const chat = "POST /v1/chat/completions";
const minute = 60_000;

/** What the fixtures' tokens live by their own `date`: not the half an hour that is documented. */
const lifetime = 20 * minute;

const tokens = {
  token_milliseconds: "milliseconds",
  token_seconds: "seconds",
  token_tok_exp: "tok-exp",
};
for (const [name, signature] of Object.entries(tokens)) {
  Deno.test(`GigaChat's ${name}.http is used until a minute before its end`, async () => {
    const { bytes, body } = readHttp(`oauth/${name}.http`);
    assertEquals(differences("Token", JSON.parse(body)), []);
    using clock = new HeldClock();
    await using gigachat = new RawGigachat({ [oauth]: [bytes], [chat]: [spokenWords()] });
    using connection = connectTo(gigachat);
    const signIns: number[] = [];
    for (const wait of [0, lifetime - minute - 1_000, 2_000]) {
      clock.pass(wait);
      await ask(connection);
      signIns.push(gigachat.requestsTo(oauth).length);
    }
    assertEquals(signIns, [1, 1, 2]);
    const bearer = gigachat.requestsTo(chat)[0]!.headers.get("authorization")!;
    assertStringIncludes(bearer, "Bearer eyJ");
    assertEquals(bearer.split(".").at(-1), signature);
  });
}

/** What the log tells the operator to do. */
const cures: Record<string, string> = {
  "400_code_1": "The scope is not one that exists. Set GIGACHAT_SCOPE",
  "400_code_4": "The authorization key is not base64. Set GIGACHAT_CREDENTIALS",
  "401_code_4": "The authorization key is not base64. Set GIGACHAT_CREDENTIALS",
  "400_code_5": "The scope is empty. Set GIGACHAT_SCOPE",
  "401_code_6": "The authorization key is not known, or it was replaced. Set GIGACHAT_CREDENTIALS",
  "400_code_7": "The authorization key belongs to another scope. Set GIGACHAT_SCOPE",
  "400_empty": "Check GIGACHAT_AUTH_URL",
  "404_page": "Check GIGACHAT_AUTH_URL",
};
for (const [name, cure] of Object.entries(cures)) {
  Deno.test(`GigaChat's refused sign-in ${name}.http names its cure`, async () => {
    const { bytes, body, headers } = readHttp(`oauth/${name}.http`);
    if (headers.get("content-type")?.startsWith("application/json")) {
      assertEquals(differences("AuthError", JSON.parse(body)), []);
    }
    await using gigachat = new RawGigachat({ [oauth]: [bytes] });
    await using router = await startRouter(gigachat.env);
    const response = await router.chat(question("gigachat/GigaChat-2"));
    const { error } = await response.json();
    assertEquals([response.status, error.code], [502, "upstream_rejected"]);
    assertStringIncludes(error.message, "xrouter doctor");
    assertEquals(error.message.includes("GIGACHAT_"), false);
    await router.stop();
    assertStringIncludes(router.log.map(({ detail }) => detail).join(), cure);
    assertEquals(gigachat.requestsTo(chat), []);
  });
}

Deno.test("every fixture of GigaChat's sign-in is read by a test", () => {
  assertEquals(namesIn("oauth"), [...Object.keys(tokens), ...Object.keys(cures)].sort());
});
