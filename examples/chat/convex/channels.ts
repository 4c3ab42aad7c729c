import { ConvexError, v } from "convex/values";
import { mutation, query, type MutationCtx } from "./_generated/server";

export const list = query({
  args: {},
  handler: async (ctx) => {
    // Try it: add .order("desc") and save. Every open page follows.
    return await ctx.db.query("channels").withIndex("by_name").take(100);
  },
});

export const create = mutation({
  args: { name: v.string() },
  returns: v.id("channels"),
  handler: async (ctx, args) => {
    const name = args.name.trim().toLowerCase().replace(/\s+/g, "-");
    if (!/^[a-z0-9-]{2,24}$/.test(name)) {
      throw new ConvexError({
        code: "INVALID_NAME",
        message: "Use 2 to 24 letters, digits or dashes.",
      });
    }
    if (await findByName(ctx, name)) {
      throw new ConvexError({
        code: "NAME_TAKEN",
        message: `#${name} exists already.`,
      });
    }
    return await ctx.db.insert("channels", { name, topic: "" });
  },
});

/** Adds the first channels. Safe to call any number of times. */
export const seed = mutation({
  args: {},
  returns: v.null(),
  handler: async (ctx) => {
    const channels = [
      { name: "general", topic: "Everything and nothing" },
      { name: "harbour", topic: "Arrivals, departures, gossip" },
      { name: "slow-lane", topic: "One message every ten seconds", slowModeSeconds: 10 },
    ];
    for (const channel of channels) {
      if (await findByName(ctx, channel.name)) continue;
      const channelId = await ctx.db.insert("channels", channel);
      if (channel.name === "general") {
        await ctx.db.insert("messages", {
          channelId,
          author: "Hull",
          body: "Welcome aboard! Open this page in a second window: whatever you write here appears there.",
        });
      }
    }
    return null;
  },
});

function findByName(ctx: MutationCtx, name: string) {
  return ctx.db
    .query("channels")
    .withIndex("by_name", (q) => q.eq("name", name))
    .unique();
}
