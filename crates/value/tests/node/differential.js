// Answers questions about values with the npm library. Reads one JSON document from standard input, writes one to
// standard output; both are described by the structs in ../differential.rs.
import { readFileSync } from "node:fs";
import { compareValues, convexToJson, getConvexSize, getDocumentSize, jsonToConvex, v } from "convex/values";
import { defineSchema, defineTable } from "convex/server";

const input = JSON.parse(readFileSync(0, "utf8"));
const values = input.values.map((text) => jsonToConvex(JSON.parse(text)));

const accepts = (text) => {
  try {
    jsonToConvex(JSON.parse(text));
    return true;
  } catch {
    return false;
  }
};

const validators = [
  v.null(),
  v.number(),
  v.float64(),
  v.bigint(),
  v.int64(),
  v.commitTs(),
  v.boolean(),
  v.string(),
  v.bytes(),
  v.any(),
  v.id("users"),
  v.id("_storage"),
  v.literal("a\"b"),
  v.literal(1),
  v.literal(0.5),
  v.literal(-3n),
  v.literal(true),
  v.array(v.array(v.string())),
  v.record(v.string(), v.number()),
  v.record(v.id("users"), v.any()),
  v.record(v.union(v.id("users"), v.id("posts")), v.null()),
  v.union(),
  v.union(v.string()),
  v.union(v.literal("a"), v.literal("b"), v.null()),
  v.nullable(v.string()),
  v.object({}),
  v.object({ b: v.optional(v.string()), a: v.object({ c: v.array(v.bytes()) }) }),
  v.object({ a: v.string(), b: v.number() }).partial(),
  v.object({ a: v.string() }).extend({ z: v.any() }),
];

const schemas = [
  defineSchema({}),
  defineSchema({ a: defineTable({}), b: defineTable(v.any()) }, { schemaValidation: false }),
  defineSchema({
    messages: defineTable({ author: v.id("users"), n: v.number(), body: v.optional(v.string()) })
      .index("by_author", ["author", "n"])
      .index("by_body_staged", { fields: ["body"], staged: true })
      .searchIndex("search_body", { searchField: "body", filterFields: ["author"] })
      .searchIndex("staged_search", { searchField: "body", staged: true }),
    users: defineTable(
      v.union(
        v.object({ kind: v.literal("a"), emb: v.array(v.float64()) }),
        v.object({ kind: v.literal("b"), deep: v.object({ x: v.record(v.string(), v.null()) }) }),
      ),
    )
      .index("by_deep", ["deep.x", "kind"])
      .vectorIndex("by_emb", { vectorField: "emb", dimensions: 1536, filterFields: ["kind"] })
      .vectorIndex("staged_emb", { vectorField: "emb", dimensions: 3, staged: true }),
  }),
];

const isPlainObject = (value) =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof ArrayBuffer);

process.stdout.write(
  JSON.stringify({
    roundTrips: values.map((value) => JSON.stringify(convexToJson(value))),
    sizes: values.map(getConvexSize),
    documentSizes: values.map((value) => (isPlainObject(value) ? getDocumentSize(value) : null)),
    orders: input.pairs.map(([a, b]) => compareValues(values[a], values[b])),
    accepted: input.texts.map(accepts),
    validators: validators.map((validator) => JSON.stringify(validator.json)),
    schemas: schemas.map((schema) => schema.export()),
  }),
);
