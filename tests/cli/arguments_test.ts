import { assertEquals, assertThrows } from "@std/assert";
import { defineCommand, readArguments, UsageError } from "../../core/cli/arguments.ts";

const command = defineCommand({
  name: "paint",
  about: "Paint something",
  arguments: {
    thing: { value: "THING", bare: true, required: true, about: "What" },
    colour: { value: "COLOUR", required: true, about: "Which" },
    layers: { value: "COUNT", about: "How often" },
    dry: { about: "Only show" },
  },
  run: () => 0,
});

Deno.test("readArguments reads flags, switches and the bare word in any order", () => {
  const nothing = { layers: undefined, dry: false };
  assertEquals(readArguments(command, ["wall", "--colour", "red"]), {
    thing: "wall",
    colour: "red",
    ...nothing,
  });
  assertEquals(readArguments(command, ["--dry", "--colour=-red", "--layers=2", "--", "--wall"]), {
    thing: "--wall",
    colour: "-red",
    layers: "2",
    dry: true,
  });
  assertEquals(readArguments(command, ["--help"]), "help");
  assertEquals(readArguments(command, ["wall", "-h"]), "help");
});

Deno.test("readArguments takes a negative number for a value, wherever it stands", () => {
  const pay = defineCommand({
    name: "pay",
    about: "Pay somebody",
    arguments: {
      who: { value: "WHO", bare: true, required: true, about: "Whom" },
      amount: { value: "AMOUNT", bare: true, required: true, about: "How much" },
      tip: { value: "AMOUNT", about: "More" },
    },
    run: () => 0,
  });
  const read = (...args: string[]) => readArguments(pay, args);
  assertEquals(read("me", "-5"), { who: "me", amount: "-5", tip: undefined });
  assertEquals(read("me", "--tip", "-0.5", "-100.50"), {
    who: "me",
    amount: "-100.50",
    tip: "-0.5",
  });
  assertEquals(read("--tip=-1", "--", "-2", "-3"), { who: "-2", amount: "-3", tip: "-1" });
  const wrong: [args: string[], message: string][] = [
    [["me"], "AMOUNT is missing"],
    [["me", "-5", "-6"], 'Unexpected argument "-6"'],
    [["me", "-x"], 'Unknown flag "-x"'],
    [["me", "-x5"], 'Unknown flag "-x"'],
  ];
  for (const [args, message] of wrong) {
    assertEquals(assertThrows(() => readArguments(pay, args), UsageError).message, message);
  }
});

Deno.test("readArguments names what is wrong", () => {
  const cases: [args: string[], message: string][] = [
    [[], "THING is missing"],
    [["wall"], "--colour COLOUR is missing"],
    [["", "--colour", "red"], "THING is empty"],
    [["wall", "--colour", ""], "--colour COLOUR is empty"],
    [["wall", "--colour", "red", "--layers="], "--layers COUNT is empty"],
    [["wall", "--colour", "red", "door"], 'Unexpected argument "door"'],
    [["wall", "--colour", "red", "--colour", "blue"], '"--colour" is given 2 times'],
    [["wall", "--dry", "--dry", "--colour", "red"], '"--dry" is given 2 times'],
    [["wall", "--color", "red"], 'Unknown flag "--color"'],
    [["wall", "-x"], 'Unknown flag "-x"'],
    [["wall", "--no-dry"], 'Unknown flag "--no-dry"'],
    [["wall", "--constructor"], 'Unknown flag "--constructor"'],
    [["wall", "--dry=1"], '"--dry" takes no value'],
    [
      ["wall", "--colour"],
      '"--colour" needs a value. One that begins with a dash is written "--colour=-…"',
    ],
    [
      ["wall", "--colour", "--dry"],
      '"--colour" needs a value. One that begins with a dash is written "--colour=-…"',
    ],
  ];
  for (const [args, message] of cases) {
    assertEquals(
      (assertThrows(() => readArguments(command, args), UsageError) as Error).message,
      message,
    );
  }
});
