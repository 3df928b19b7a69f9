import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { ask, startRouter, type TestRouter } from "../support/router.ts";
import { startUpstream, wholeAnswer } from "../support/upstream.ts";
import { checkLedger } from "../../core/ledger/ledger_check.ts";
import { get, makeKey, refusal } from "../support/usage_client.ts";
import { addUsage } from "../support/usage_rows.ts";

const million = 1_000_000;

/** Requests of two keys in October and November 2026. */
async function withHistory(
  run: (
    router: TestRouter,
    keys: { anna: { id: string; secret: string }; admin: { id: string; secret: string } },
  ) => Promise<void>,
): Promise<void> {
  await using router = await startRouter();
  const { database } = router.program;
  const anna = await makeKey(router, "anna", { owner: "Anna" });
  const admin = await makeKey(router, "admin", { admin: true });
  const at = (day: string) => ({ created_at: Date.parse(day) });
  const own = { key_id: router.keyId };
  await addUsage(database, { ...own, ...at("2026-10-31T23:59:59.999Z"), cost: 1 });
  await addUsage(database, { ...own, ...at("2026-11-01"), cost: 2 * million, tag: "prod" });
  await addUsage(database, { ...own, ...at("2026-11-01T12:00Z"), model: "other", cost: 500_000 });
  await addUsage(database, {
    ...own,
    ...at("2026-11-02T23:59:59.999Z"),
    cost: null,
    state: "failed",
    status: 502,
  });
  await addUsage(database, { key_id: anna.id, owner: "Anna", ...at("2026-11-02"), cost: 70 });
  await run(router, { anna, admin });
}

const november = "from=2026-11-01&to=2026-11-02";

Deno.test("GET /v1/usage sums a key's own requests by day, in units of the currency", () =>
  withHistory(async (router) => {
    const sums = { cached_tokens: 0, failed: 0, unpriced: 0 };
    assertEquals(await get(router, `usage?${november}`), {
      object: "list",
      from: "2026-11-01",
      to: "2026-11-02",
      totals: {
        requests: 3,
        failed: 1,
        unpriced: 1,
        input_tokens: 30,
        output_tokens: 15,
        cached_tokens: 0,
        cost: 2.5,
        charged: 2.5,
      },
      data: [
        {
          day: "2026-11-01",
          ...sums,
          requests: 2,
          input_tokens: 20,
          output_tokens: 10,
          cost: 2.5,
          charged: 2.5,
        },
        {
          day: "2026-11-02",
          ...sums,
          requests: 1,
          failed: 1,
          unpriced: 1,
          input_tokens: 10,
          output_tokens: 5,
          cost: null,
          charged: 0,
        },
      ],
      currency: "RUB",
    });
    const { data } = await get(router, "usage?from=2026-10-31&to=2026-10-31");
    assertEquals([data.length, data[0].cost], [1, 0.000001]);
    assertEquals((await get(router, "usage?from=2027-01-01&to=2027-01-02")).data, []);
  }));

Deno.test("GET /v1/usage groups and filters by what it is told to", () =>
  withHistory(async (router) => {
    const groups = async (query: string, ...names: string[]) => {
      const { data } = await get(router, `usage?${november}&${query}`);
      return data.map((row: Record<string, unknown>) =>
        [...names, "requests"].map((name) => row[name])
      );
    };
    assertEquals(await groups("group_by=model", "model"), [["echo", 2], ["other", 1]]);
    assertEquals(await groups("group_by=tag,model,tag", "tag", "model"), [
      [null, "echo", 1],
      [null, "other", 1],
      ["prod", "echo", 1],
    ]);
    assertEquals(await groups("group_by=provider&model=other", "provider"), [["echo", 1]]);
    // What has no price is not free, and does not hide what has one.
    assertEquals(await groups("group_by=day", "day", "cost", "unpriced"), [
      ["2026-11-01", 2.5, 0, 2],
      ["2026-11-02", null, 1, 1],
    ]);
    assertEquals(await groups("group_by=model", "cost", "unpriced"), [[2, 1, 2], [0.5, 0, 1]]);
    assertEquals((await get(router, "usage?from=2026-11-02&to=2026-11-02")).totals.cost, null);
    assertEquals(await groups("tag=prod", "day"), [["2026-11-01", 1]]);
    assertEquals(await groups("provider=nobody", "day"), []);
  }));

Deno.test("GET /v1/usage covers this month until today, if not told otherwise", async () => {
  await using router = await startRouter();
  const now = new Date();
  const first = Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), 1);
  const own = { key_id: router.keyId };
  await addUsage(router.program.database, { ...own, created_at: first - 1 });
  await addUsage(router.program.database, { ...own, created_at: first });
  await addUsage(router.program.database, { ...own });
  const { from, to, totals } = await get(router, "usage");
  assertEquals(
    [from, to],
    [first, now.getTime()].map((ms) => new Date(ms).toISOString().slice(0, 10)),
  );
  assertEquals(totals.requests, 2);
  assertEquals((await get(router, "usage?to=2026-02-14")).from, "2026-02-01");
});

Deno.test("GET /v1/usage tells an admin key of everybody, and others only of themselves", () =>
  withHistory(async (router, { anna, admin }) => {
    const asAdmin = (query: string) =>
      get(router, `usage?${november}&${query}`, { secret: admin.secret });
    const groups = ({ data }: { data: Record<string, unknown>[] }, ...names: string[]) =>
      data.map((row) => [...names, "requests"].map((name) => row[name]));
    assertEquals((await asAdmin("")).totals.requests, 4);
    assertEquals((await asAdmin(`key=${anna.id}`)).totals.requests, 1);
    assertEquals((await asAdmin("owner=Anna")).totals.requests, 1);
    assertEquals((await asAdmin(`owner=Anna&key=${router.keyId}`)).totals.requests, 0);
    assertEquals(groups(await asAdmin("group_by=owner"), "owner"), [[null, 3], ["Anna", 1]]);
    assertEquals(
      groups(await asAdmin("group_by=key"), "key", "key_name").sort(),
      [[router.keyId, "test", 3], [anna.id, "anna", 1]].sort(),
    );
    assertEquals((await asAdmin("rows=1")).data.length, 4);
    assertEquals((await asAdmin("rows=1&owner=Anna")).data[0].key, anna.id);

    assertEquals((await get(router, `usage?${november}`, anna)).totals.requests, 1);
    assertEquals((await get(router, `usage?${november}&rows=1`, anna)).data.length, 1);
    for (const query of ["key=key_x", "owner=Anna", "group_by=owner", "group_by=day,key"]) {
      const { code, param, message } = await refusal(router, `usage?${query}`, 403, anna.secret);
      assertEquals([code, param], ["forbidden", query.split("=")[0]!]);
      assertStringIncludes(message, "from admin keys only");
    }
    for (const query of ["key=key_x", "owner=Nobody"]) {
      const { code, param } = await refusal(router, `usage?${query}`, 404, admin.secret);
      assertEquals([code, param], ["not_found", query.split("=")[0]!]);
    }
  }));

Deno.test("GET /v1/usage?rows=1 lists single requests page by page", () =>
  withHistory(async (router) => {
    const page = (query: string) =>
      get(router, `usage?rows=1&from=2026-10-31&to=2026-11-02${query}`);
    const whole = await page("");
    const ids = whole.data.map(({ id }: { id: string }) => id);
    assertEquals([ids.length, whole.next, whole.currency], [4, null, "RUB"]);
    const first = await page("&limit=3");
    assertEquals(first.next, ids[2]);
    const second = await page(`&limit=3&after=${first.next}`);
    assertEquals([...first.data, ...second.data], whole.data);
    assertEquals(second.next, null);
    // A page that is exactly full is the last one.
    assertEquals((await page("&limit=4")).next, null);
    const { id: _, ...row } = whole.data[2];
    assertEquals(row, {
      created_at: "2026-11-01T00:00:00.000Z",
      key: router.keyId,
      owner: null,
      tag: "prod",
      provider: "echo",
      model: "echo",
      model_asked: "echo",
      model_served: "echo",
      streamed: false,
      input_tokens: 10,
      output_tokens: 5,
      cached_tokens: 0,
      estimated: false,
      cost: 2,
      charged: 2,
      currency: "RUB",
      price_input: 0,
      price_output: 400_000,
      price_cached: 0,
      state: "completed",
      status: 200,
      error_code: null,
      attempts: 1,
      duration_ms: 20,
      first_token_ms: 10,
      try_of: null,
    });
    assertEquals(whole.data[0].cost, null);
  }));

Deno.test("GET /v1/usage?format=csv is RFC 4180, and no cell is a formula", () =>
  withHistory(async (router) => {
    const response = await router.get(`/v1/usage?${november}&group_by=day,model&format=csv`);
    assertEquals(response.headers.get("content-type"), "text/csv; charset=utf-8");
    assertEquals(
      await response.text(),
      [
        "day,model,requests,failed,unpriced,input_tokens,output_tokens,cached_tokens,cost,charged",
        "2026-11-01,echo,1,0,0,10,5,0,2,2",
        "2026-11-01,other,1,0,0,10,5,0,0.5,0.5",
        "2026-11-02,echo,1,1,1,10,5,0,,0",
        "",
      ].join("\r\n"),
    );
    const evil = ['=HYPERLINK("http://x","y")', "+1", "-1", "@a", " =1", "＝1", "\t1", "a,b\r\n"];
    for (const [i, tag] of [...evil, 'say "hi"', "a=b", "тег", "x'y"].entries()) {
      await addUsage(router.program.database, {
        key_id: router.keyId,
        created_at: Date.parse("2026-12-01") + i,
        tag,
        model_asked: tag,
      });
    }
    const csv = await get(router, "usage?rows=1&from=2026-12-01&to=2026-12-01&format=csv");
    const page = await router.get(
      "/v1/usage?rows=1&from=2026-12-01&to=2026-12-01&format=csv&limit=1",
    );
    const next = page.headers.get("x-xrouter-next");
    assertEquals((await page.text()).includes(next!), true);
    const lines = csv.split(/\r\n(?=0)/);
    assertMatch(lines[0], /^id,created_at,key,owner,tag,provider,model,model_asked,/);
    const tags = lines.slice(1).map((line: string) => line.split(`,${router.keyId},,`)[1])
      .map((rest: string) => rest.split(",echo,echo,")[0]).reverse();
    assertEquals(tags, [
      `"'=HYPERLINK(""http://x"",""y"")"`,
      "'+1",
      "'-1",
      "'@a",
      "' =1",
      "'＝1",
      "'\t1",
      '"a,b\r\n"',
      '"say ""hi"""',
      "a=b",
      "тег",
      "x'y",
    ]);
    const none = await get(router, "usage?rows=1&from=2027-01-01&to=2027-01-01&format=csv");
    assertEquals(none, `${lines[0]}\r\n`);
  }));

Deno.test("GET /v1/usage refuses what it does not understand, naming parameter and cure", async () => {
  await using router = await startRouter();
  const wrong: [query: string, param: string, message: string][] = [
    ["group_by=month", "group_by", "must be one or several of day, key, owner, provider"],
    ["group_by=", "group_by", "must not be empty"],
    ["group_by=day,", "group_by", "must be one or several of"],
    ["from=yesterday", "from", "must be a day such as 2026-12-01"],
    ["from=2026-02-30", "from", "must be a day such as"],
    ["to=2026-11-01T00:00Z", "to", "must be a day such as"],
    ["from=2026-11-02&to=2026-11-01", "from", 'must not be after "to", which is 2026-11-01'],
    ["from=2999-01-01", "from", 'must not be after "to", which is 2'],
    ["from=2026-11-01&from=2026-11-02", "from", "must be a day such as"],
    ["tag=a&tag=b", "tag", "must be given once"],
    ["rows=yes", "rows", "must be 1 for single requests"],
    ["rows=1&group_by=day", "group_by", "Leave it out with rows=1"],
    ["rows=1&limit=0", "limit", "must be a whole number from 1 to 1000"],
    ["rows=1&limit=1001", "limit", "must be a whole number from 1 to 1000"],
    ["rows=1&limit=1e2", "limit", "must be a whole number from 1 to 1000"],
    ["rows=1&limit=5&limit=6", "limit", "must be a whole number from 1 to 1000"],
    ["limit=5", "limit", "Add rows=1"],
    ["after=01a200e5-940c-7dae-9b73-43e7b31fde96", "after", "Add rows=1"],
    ["rows=1&after=2", "after", 'must be the "next" of the page before'],
    ["rows=1&tag=", "tag", "must not be empty"],
    ["format=xml", "format", "must be json or csv"],
    ["form=2026-11-01", "form", "is no parameter. There are: group_by, from, to"],
    [`tag=${"x".repeat(257)}`, "tag", "must have at most 256 characters"],
  ];
  for (const [query, param, message] of wrong) {
    const error = await refusal(router, `usage?${query}`, 400);
    assertEquals([error.code, error.param], ["invalid_request", param], query);
    assertStringIncludes(error.message, `"${param}" `);
    assertStringIncludes(error.message, message);
  }
  const missing = await refusal(router, "generation", 400);
  assertEquals([missing.param, missing.code], ["id", "invalid_request"]);
  assertStringIncludes(missing.message, "must be the x-request-id of an answer");
});

Deno.test("GET /v1/usage refuses to write more groups than it can write quickly", async () => {
  await using router = await startRouter();
  await router.program.database.execute({
    sql: `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10001)
      INSERT INTO usage_daily SELECT '2026-11-01', ?, '', '', 't' || i, 1, 0, 0, 0, 0, 0, 0, 0 FROM n`,
    args: [router.keyId],
  });
  const { param, message } = await refusal(router, `usage?${november}&group_by=tag`, 400);
  assertEquals(param, "group_by");
  assertEquals(
    message,
    '"group_by" makes more than 10000 groups. Group by less, or ask for fewer days with "from" and "to"',
  );
  assertEquals((await get(router, `usage?${november}`)).totals.requests, 10_001);
  await router.program.database.execute("DELETE FROM usage_daily WHERE tag = 't1'");
  assertEquals((await get(router, `usage?${november}&group_by=tag`)).data.length, 10_000);
});

for (const [kind, tokens] of [["impossible", 1_000_000_000], ["huge", 100_000_000]] as const) {
  Deno.test(`${kind} reports at the highest price leave every account readable`, async () => {
    const usage = {
      prompt_tokens: tokens,
      completion_tokens: tokens,
      total_tokens: 2 * tokens,
    };
    await using vendor = startUpstream(() => wholeAnswer("Hello.", { usage }));
    const price = { currency: "RUB", input: 1_000_000_000, output: 1_000_000_000 };
    await using router = await startRouter(vendor.env, { models: { "openai/m": { price } } });
    const admin = await makeKey(router, "admin", { admin: true });
    for (let i = 0; i < 6; i++) {
      const response = await router.chat(ask("openai/m"));
      assertEquals(response.status, 200);
      const { usage: told } = await response.json();
      assertEquals(told.cost <= 10_000_000, true, String(told.cost));
    }
    let rows: { estimated: boolean }[] = [];
    while (rows.length < 6) rows = (await get(router, "usage?rows=1")).data;
    assertEquals(rows.map((row) => row.estimated), Array(6).fill(kind === "impossible"));
    const paths = ["key", "credits", "usage"];
    for (const path of paths) await get(router, path);
    await get(router, "usage?group_by=key", { secret: admin.secret });
    assertEquals((await checkLedger(router.program.database)).mismatches, []);
  });
}
