import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";

export default defineSchema({
  channels: defineTable({
    name: v.string(),
    topic: v.string(),
    /** How long each author has to wait between two messages. */
    slowModeSeconds: v.optional(v.number()),
  }).index("by_name", ["name"]),

  messages: defineTable({
    channelId: v.id("channels"),
    author: v.string(),
    body: v.string(),
  })
    .index("by_channel", ["channelId"])
    .index("by_channel_and_author", ["channelId", "author"]),
});
