import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";

export default defineSchema({
  items: defineTable({
    group: v.number(),
    name: v.string(),
    email: v.string(),
    age: v.number(),
    score: v.number(),
    active: v.boolean(),
    tags: v.array(v.string()),
    address: v.object({ street: v.string(), city: v.string() }),
    note: v.union(v.string(), v.null()),
    updatedAt: v.number(),
  }).index("by_group", ["group"]),
  notes: defineTable({ author: v.string(), body: v.string(), n: v.number() }),
  counters: defineTable({ value: v.number() }),
  accounts: defineTable({ owner: v.number(), balance: v.number() }),
});
