import { assertEquals } from "@std/assert";
import { Transport } from "../../core/transport.ts";
import openai from "../../providers/openai.ts";

Deno.test("Transport takes only addresses that can be called and hold no secret", () => {
  for (
    const [address, message] of [
      ["api.example.com/v1", "must be a URL such as https://api.example.com/v1"],
      ["file:///etc/passwd", "must be a URL such as https://api.example.com/v1"],
      ["ftp://api.example.com", "must be a URL such as https://api.example.com/v1"],
      ["https://user@api.example.com", "must not hold a user or a password"],
      ["https://user:CANARY@api.example.com", "must not hold a user or a password"],
    ] as const
  ) {
    const env = { OPENAI_BASE_URL: address, OPENAI_API_KEY: "sk-1" };
    const { transport, problems } = Transport.connect(openai, { env, file: undefined });
    assertEquals(transport, undefined, address);
    assertEquals(problems, [{ at: "OPENAI_BASE_URL", message }], address);
  }
});

Deno.test("Transport drops the slash at an address's end", () => {
  const env = { OPENAI_BASE_URL: " http://127.0.0.1:1/v1/ ", OPENAI_API_KEY: "sk-1" };
  const { transport } = Transport.connect(openai, { env, file: undefined });
  assertEquals(transport!.baseUrl, "http://127.0.0.1:1/v1");
  transport!.close();
});
