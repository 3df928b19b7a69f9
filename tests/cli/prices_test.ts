import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { inFolder, xrouter } from "./xrouter.ts";

interface Line {
  model: string;
  from: string | null;
  setAt?: string;
  state?: string;
  source: string | null;
  price: Record<string, unknown> | null;
}

/** The cells of a table's row. */
function cells(stdout: string, row: number): string[] {
  return stdout.split("\n")[row]!.split(/ {2,}/);
}

Deno.test("prices set, list and unset work on one database, and keep history", () =>
  inFolder(async (folder) => {
    const run = async (...args: string[]) => {
      const ended = await xrouter(folder, ["prices", ...args]);
      assertEquals([ended.code, ended.stderr], [0, ""], args.join(" "));
      return ended.stdout;
    };
    const list = async (...args: string[]) =>
      JSON.parse(await run("list", "--json", ...args)) as Line[];
    const model = "gigachat/GigaChat-2";
    const declared = { currency: "RUB", input: 65, output: 65, cached: 0 };
    const own = { model, from: null, state: "in force", source: "provider", price: declared };
    assertEquals(await list("--model", model), [own]);
    assertEquals((await list()).length > 6, true);

    const table = await run("set", model, "--input", "80", "--output", "90.5");
    // Sber bills no cached tokens.
    const price = { currency: "RUB", input: 80, output: 90.5, cached: 0 };
    assertMatch(cells(table, 1)[1]!, /^\d{4}-\d\d-\d\d \d\d:\d\d$/);
    assertEquals(cells(table, 1).toSpliced(1, 1), [
      model,
      "in force",
      "command",
      "80 in, 90.5 out, 0 cached RUB",
    ]);
    const day = new Date(Date.now() + 40 * 86_400_000).toISOString().slice(0, 10);
    const later = ["--input", "0.000001", "--output", "0", "--cached", "0", "--from", day];
    await run("set", model, ...later, "--currency", "RUB");
    const [now, planned, ...more] = await list("--model", model);
    assertEquals([now!.state, now!.source, now!.price], ["in force", "command", price]);
    const tiny = { currency: "RUB", input: 0.000001, output: 0, cached: 0 };
    const from = `${day}T00:00:00.000Z`;
    assertEquals(planned, { model, from, state: "planned", source: "command", price: tiny });
    assertEquals(more, []);

    assertStringIncludes(await run("unset", model), "65 in, 65 out, 0 cached RUB");
    const [again, ...rest] = await list("--model", model);
    assertEquals([again!.source, again!.price, rest], ["provider", declared, []]);
    const history = await list("--history", "--model", model);
    assertEquals(history.map(({ source, price }) => [source, price]), [
      ["command", price],
      ["command", tiny],
      ["command", null],
    ]);
    assertEquals(history.every(({ setAt }) => !Number.isNaN(Date.parse(setAt!))), true);
    assertMatch(await run("list", "--history"), /^gigachat\/GigaChat-2 .* command +none$/m);
    const amounts = ["--input", "80", "--output", "90"];
    const paid = await run("set", model, ...amounts, "--cached", "8");
    assertStringIncludes(paid, "80 in, 90 out, 8 cached RUB");
    assertStringIncludes(await run("set", "openai/m", ...amounts), "80 in, 90 out, 80 cached RUB");
  }));

Deno.test("prices list shows what the configuration file says, and when it will say something else", () =>
  inFolder(async (folder) => {
    const price = { currency: "USD", input: 1, output: 2 };
    const models = {
      "openai/one": { price: [price, { ...price, input: 3, from: "2999-12-01" }] },
      "gigachat/GigaChat-3-Pro": { price: { ...price, from: "2999-12-01" } },
    };
    await Deno.writeTextFile(`${folder}/xrouter.json`, JSON.stringify({ models }));
    const { stdout } = await xrouter(folder, ["prices", "list"], {
      XROUTER_CONFIG: "xrouter.json",
    });
    const rows = stdout.split("\n").filter((row) => row.includes(" file "));
    assertEquals(rows.map((row) => row.replaceAll(/ {2,}/g, " | ")), [
      "gigachat/GigaChat-3-Pro | 2999-12-01 00:00 | planned | file | 1 in, 2 out, 0 cached USD",
      "openai/one | always | in force | file | 1 in, 2 out, 1 cached USD",
      "openai/one | 2999-12-01 00:00 | planned | file | 3 in, 2 out, 3 cached USD",
    ]);
  }));

Deno.test("prices says what is wrong and how to write it", () =>
  inFolder(async (folder) => {
    const amounts = ["--input", "1", "--output", "2"];
    const refusals: [code: number, args: string[], text: string][] = [
      [2, ["set", "GigaChat-2", ...amounts], 'as PROVIDER/MODEL, not "GigaChat-2"'],
      [2, ["list", "--model", "gigachat/"], 'as PROVIDER/MODEL, not "gigachat/"'],
      [
        1,
        ["set", "gigchat/m", ...amounts],
        'There is no provider "gigchat". There are: aitunnel, ',
      ],
      [2, ["set", "echo/m", "--input", "1"], "--output AMOUNT is missing"],
      [2, ["set", "echo/m", "--input", "0,5", "--output", "1"], '--input "0,5" has a comma'],
      [2, ["set", "echo/m", "--input=-1", "--output", "1"], "--input must not be below 0"],
      [2, ["set", "echo/m", ...amounts, "--cached", "1e3"], '--cached "1e3" is not an amount'],
      [2, ["set", "echo/m", ...amounts, "--currency", "USD"], "--currency must be EUR"],
      [2, ["set", "echo/m", ...amounts, "--from", "2999-02-30"], "--from must be a day such as"],
      [2, ["set", "echo/m", ...amounts, "--from", "2026-01-01"], "--from must be a day to come"],
      [1, ["unset", "echo/echo"], 'No price of "echo/echo" is set by command'],
    ];
    await Promise.all(refusals.map(async ([code, args, text]) => {
      const env = { XROUTER_CURRENCY: "EUR", DATABASE_URL: `file:${crypto.randomUUID()}.db` };
      const ended = await xrouter(folder, ["prices", ...args], env);
      assertStringIncludes(ended.stderr, text);
      assertEquals([ended.code, ended.stdout], [code, ""], args.join(" "));
    }));
    const { code, stderr } = await xrouter(folder, ["prices", "list", "--model", "echo/none"]);
    assertEquals(code, 0);
    assertStringIncludes(stderr, "No price is known");
  }));
