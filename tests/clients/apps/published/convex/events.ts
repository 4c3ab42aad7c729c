import { v } from "convex/values";

import { internalMutation, query } from "./_generated/server";

export const note = internalMutation({
  args: { text: v.string() },
  handler: async (ctx, { text }) => {
    await ctx.db.insert("events", { text });
    return text.length;
  },
});

export const all = query({ args: {}, handler: async (ctx) => (await ctx.db.query("events").collect()).map(({ text }) => text) });
