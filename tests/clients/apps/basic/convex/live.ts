import { v } from "convex/values";
import { query } from "./_generated/server";

/** Edited by the tests while clients watch. */
export const version = query({ args: {}, handler: async () => "first" });

/** Looks at the identity of its caller only while its channel has an odd number of messages. */
export const whoAtTimes = query({
  args: { channel: v.string() },
  handler: async (ctx, { channel }) => {
    const messages = await ctx.db
      .query("messages")
      .withIndex("by_channel", (q) => q.eq("channel", channel))
      .collect();
    const who = messages.length % 2 === 1 ? (await ctx.auth.getUserIdentity()) ?? "nobody" : "not asked";
    return { count: messages.length, who };
  },
});
