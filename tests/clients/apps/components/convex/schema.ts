import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";

// The name of a table of the component, with another schema.
export default defineSchema({
  counts: defineTable({ note: v.string() }).index("by_note", ["note"]),
});
