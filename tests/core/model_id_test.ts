import { assertEquals } from "@std/assert";
import { expandIds, listedId, toVendorId } from "../../core/model_id.ts";
import { defineProvider } from "../../core/provider.ts";

const settings = { region: "ru" };
const plain = "v://{region}/{model}";
const versioned = "v://{region}/{model}/{version=latest}";

Deno.test("expandIds reads braces as a shell does", () => {
  assertEquals(expandIds("m-1"), ["m-1"]);
  assertEquals(expandIds("m{,-lite}"), ["m", "m-lite"]);
  assertEquals(expandIds("m-{a,b}:{1,2}"), ["m-a:1", "m-a:2", "m-b:1", "m-b:2"]);
  assertEquals(expandIds("m{-{a,b},}"), ["m-a", "m", "m-b", "m"]);
});

Deno.test("defineProvider gives each id of a key the facts of the key", () => {
  const { models } = defineProvider({ name: "v", models: { "m{1,2}": { context: 5 }, n: {} } });
  assertEquals(models, { m1: { context: 5 }, m2: { context: 5 }, n: {} });
});

Deno.test("toVendorId fills the form, with a version where the form has one", () => {
  const ids: [model: string, form: string, id: string][] = [
    ["a", "{model}", "a"],
    ["a/b:c", "{model}", "a/b:c"],
    ["a/b:c", plain, "v://ru/a/b:c"],
    ["a", versioned, "v://ru/a/latest"],
    ["a:", versioned, "v://ru/a/latest"],
    ["a:rc", versioned, "v://ru/a/rc"],
    ["a/rc", versioned, "v://ru/a/rc"],
    ["a:rc/x:y", versioned, "v://ru/a/rc/x:y"],
    ["{region}", versioned, "v://ru/{region}/latest"],
    ["$&", versioned, "v://ru/$&/latest"],
    ["v://us/a", versioned, "v://us/a"],
  ];
  for (const [model, form, id] of ids) assertEquals(toVendorId(model, form, settings), id);
});

Deno.test("toVendorId follows a model to its new name, whatever the version", () => {
  const renamed = { old: "new" };
  const ids = { "old": "new", "old:rc": "old:rc", "older": "older", "constructor": "constructor" };
  for (const [model, id] of Object.entries(ids)) {
    assertEquals(toVendorId(model, "{model}", settings, renamed), id);
  }
  assertEquals(toVendorId("old:rc", versioned, settings, renamed), "v://ru/new/rc");
});

Deno.test("listedId gives the names that lead back to the vendor's ids", () => {
  const forms = { modelUri: versioned, embeddings: { modelUri: "e://{region}/{model}" } };
  const names: [id: string, name: string | undefined][] = [
    ["v://ru/a/latest", "a"],
    ["v://ru/a", "a"],
    ["v://ru/a/rc", "a:rc"],
    ["v://ru/a/rc/b", "a:rc/b"],
    ["v://us/a/rc", "v://us/a/rc"],
    ["e://ru/a", "a"],
    ["e://us/a", "e://us/a"],
    ["art://ru/a/latest", undefined],
    ["v://ru/", undefined],
    ["xv://ru/a", undefined],
    ["a", undefined],
  ];
  for (const [id, name] of names) assertEquals(listedId(id, forms, settings), name, id);
  assertEquals(listedId("a:b/c", {}, settings), "a:b/c");
  // A dot of the form is no wildcard.
  assertEquals(listedId("vxy://a", { modelUri: "v.y://{model}" }, settings), undefined);
});
