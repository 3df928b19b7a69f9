import { assertEquals } from "@std/assert";
import { expandIds, listedModel, namedModel, toVendorId } from "../../core/model_id.ts";
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

const forms = { modelUri: versioned, embeddings: { modelUri: "e://{region}/{model}" } };

Deno.test("listedModel gives the names that lead back to the vendor's ids, and what their forms are for", () => {
  const chat = (id: string) => ({ id, kind: "chat" as const });
  const embedder = (id: string) => ({ id, kind: "embeddings" as const });
  const models: [id: string, model: ReturnType<typeof listedModel>][] = [
    ["v://ru/a/latest", chat("a")],
    ["v://ru/a", chat("a")],
    ["v://ru/a/rc", chat("a:rc")],
    ["v://ru/a/rc/b", chat("a:rc/b")],
    ["v://us/a/rc", chat("v://us/a/rc")],
    ["e://ru/a", embedder("a")],
    ["e://us/a", embedder("e://us/a")],
    ["art://ru/a/latest", undefined],
    ["v://ru/", undefined],
    ["xv://ru/a", undefined],
    ["a", undefined],
  ];
  for (const [id, model] of models) assertEquals(listedModel(id, forms, settings), model, id);
  assertEquals(listedModel("a:b/c", {}, settings), { id: "a:b/c" });
  // Where both are called by the same form, that says nothing.
  assertEquals(listedModel("v://ru/a/latest", { modelUri: versioned }, settings), { id: "a" });
  // A dot of the form is no wildcard.
  assertEquals(listedModel("vxy://a", { modelUri: "v.y://{model}" }, settings), undefined);
});

Deno.test("namedModel leads every name of a model to the id by which it is listed", () => {
  const provider = { ...forms, renamed: { old: "new" } };
  const models: [name: string, id: string | undefined][] = [
    ["a", "a"],
    ["a:", "a"],
    ["a:latest", "a"],
    ["a/latest", "a"],
    ["a/rc", "a:rc"],
    ["a:rc/b", "a:rc/b"],
    ["old", "new"],
    ["old/latest", "new"],
    ["old:rc", "new:rc"],
    ["constructor", "constructor"],
    ["", undefined],
    [":", undefined],
    ["/rc", undefined],
  ];
  for (const [name, id] of models) {
    // Also before the provider is configured.
    for (const known of [settings, {}]) {
      assertEquals(namedModel(name, provider, known), id === undefined ? id : { id }, name);
    }
  }
  assertEquals(namedModel("v://ru/a/latest", provider, settings), { id: "a", kind: "chat" });
  assertEquals(namedModel("e://us/a", provider, settings), { id: "e://us/a", kind: "embeddings" });
  assertEquals(namedModel("ds://tuned", provider, settings), { id: "ds://tuned" });
  assertEquals(namedModel("a:b/c", {}, settings), { id: "a:b/c" });
  assertEquals(namedModel("old", { renamed: { old: "new" } }, settings), { id: "new" });
});
