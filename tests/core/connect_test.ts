import { assertEquals } from "@std/assert";
import { z } from "zod";
import { connectProviders } from "../../core/connect.ts";
import { defineProvider } from "../../core/provider.ts";

Deno.test("connectProviders blames whoever takes the name of another's file, wherever it lies", () => {
  const module = (folder: string, file: string) => ({
    file,
    path: `${folder}/${file}`,
    value: defineProvider({ name: "some-vendor", baseUrl: "https://vendor.invalid/v1" }),
  });
  const right = module("own", "some_vendor.ts");
  const before = module("outside", "another.ts");
  const after = module("outside", "z.ts");
  const problemsOf = (modules: Parameters<typeof connectProviders>[0]) =>
    connectProviders(modules, {}, {}).problems.map(({ at, message }) => `${at}: ${message}`);
  const taken = (by: string) =>
    `provider "some-vendor" is already defined by ${by}. Rename one of them`;
  assertEquals(problemsOf([before, right, after]), [
    `outside/another.ts: ${taken("own/some_vendor.ts")}`,
    `outside/z.ts: ${taken("own/some_vendor.ts")}`,
  ]);
  assertEquals(problemsOf([before, after]), [`outside/z.ts: ${taken("outside/another.ts")}`]);
  const twin = module("outside", "some_vendor.ts");
  assertEquals(problemsOf([right, twin]), [
    `outside/some_vendor.ts: ${taken("own/some_vendor.ts")}`,
  ]);
});

Deno.test("connectProviders names a file that throws as it is looked at, and connects the others", () => {
  const settings = z.strictObject({
    region: z.string().default("ru").refine(() => {
      throw new Error("no check");
    }),
  });
  const baseUrl = "https://vendor.invalid/v1";
  const files = {
    getter: {
      baseUrl,
      get name() {
        throw new Error("not now");
      },
    },
    throwing: { name: "throwing", baseUrl, settings },
    well: { name: "well", baseUrl },
  };
  const modules = Object.entries(files).map(([name, value]) => ({
    file: `${name}.ts`,
    path: `p/${name}.ts`,
    value,
  }));
  const { names, problems, transports } = connectProviders(modules, {}, {});
  assertEquals(problems, [
    {
      at: "p/getter.ts",
      message: "a field of its default export throws: not now. " +
        "Let none be a getter or a proxy that throws",
    },
    { at: "p/throwing.ts", message: '"settings" throws: no check' },
  ]);
  assertEquals([names, transports.map(({ name }) => name)], [["throwing", "well"], ["well"]]);
});
