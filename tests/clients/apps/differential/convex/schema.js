import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";

export default defineSchema({
  loose: defineTable(v.any())
    .index("by_a", ["a"])
    .index("by_ab", ["a", "b"])
    .index("by_path", ["o.x", "b"]),
  typed: defineTable({
    n: v.optional(v.number()),
    i: v.optional(v.int64()),
    flag: v.optional(v.boolean()),
    text: v.optional(v.string()),
    bytes: v.optional(v.bytes()),
    nothing: v.optional(v.null()),
    list: v.optional(v.array(v.union(v.number(), v.string()))),
    object: v.optional(v.object({ x: v.number(), y: v.optional(v.any()) })),
    literal: v.optional(v.union(v.literal("a"), v.literal(1), v.literal(true), v.literal(2n))),
    ref: v.optional(v.id("loose")),
    either: v.optional(v.union(v.object({ kind: v.literal("x"), n: v.number() }), v.object({ kind: v.literal("y") }))),
  }),
  shapes: defineTable(v.union(v.object({ kind: v.literal("x"), n: v.number() }), v.object({ kind: v.literal("y"), b: v.any() }))),
});
