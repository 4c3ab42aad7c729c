import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";

export default defineSchema({
  users: defineTable({ name: v.string(), fullName: v.optional(v.string()) }),
  notes: defineTable({ owner: v.string(), text: v.string() }),
});
