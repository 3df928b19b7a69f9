/** Slips in the names of variables. */
import { assertEquals } from "@std/assert";
import { misspelt } from "../../core/misspelt.ts";
import { startRouter } from "../support/router.ts";

const settings = [
  "GIGACHAT_CREDENTIALS",
  "GIGACHAT_SCOPE",
  "OPENAI_API_KEY",
  "ZAI_API_KEY",
  "PORT",
];

Deno.test("misspelt finds one or two slips, and the setting that is nearest", () => {
  const meant: Record<string, string | undefined> = {
    GIGACHAT_CREDENTAILS: "GIGACHAT_CREDENTIALS",
    GIGACHAT_CREDENTIAL: "GIGACHAT_CREDENTIALS",
    GIGACHAT_CREDENTIALSS: "GIGACHAT_CREDENTIALS",
    GIGACHATCREDENTAILS: "GIGACHAT_CREDENTIALS",
    GIGA_CHAT_SCOPE: "GIGACHAT_SCOPE",
    OPENAI_API_KEYS: "OPENAI_API_KEY",
    // Right, of another program, too far away, or too short to tell.
    GIGACHAT_CREDENTIALS: undefined,
    XAI_API_KEY: undefined,
    GIGACHAT_MODEL: undefined,
    OPENAI_ORG_ID: undefined,
    PORTS: undefined,
    GIGACHAT_SCOP_E_X: undefined,
  };
  for (const [variable, expected] of Object.entries(meant)) {
    const found = misspelt({ [variable]: "x" }, settings);
    assertEquals(found, expected === undefined ? [] : [{ variable, meant: expected }], variable);
  }
  assertEquals(misspelt({ GIGACHAT_SCOPES: " " }, settings), [], "what is empty is not set");
});

Deno.test("no setting looks like a slip of another one, and a start warns of slips", async () => {
  await using router = await startRouter({
    GIGACHAT_CREDENTAILS: "CANARY",
    XROUTER_STOP_SECOND: "3",
  });
  const warnings = router.log.filter(({ level }) => level === "warn")
    .map(({ message, variable, meant }) => [message, variable, meant]);
  const message = "a variable is set that nobody reads";
  assertEquals(warnings, [
    [message, "GIGACHAT_CREDENTAILS", "GIGACHAT_CREDENTIALS"],
    [message, "XROUTER_STOP_SECOND", "XROUTER_STOP_SECONDS"],
  ]);
  assertEquals(router.log.filter((line) => JSON.stringify(line).includes("CANARY")), []);
});
