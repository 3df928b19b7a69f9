import { assertEquals } from "@std/assert";
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
