import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";

export default defineSchema({
  messages: defineTable({ channel: v.string(), body: v.string() }).index("by_channel", ["channel"]),
  entries: defineTable({ list: v.string(), n: v.number() }).index("by_list", ["list", "n"]),
  values: defineTable({ name: v.string(), value: v.any() }).index("by_name", ["name"]),
});
