import { mutationGeneric as mutation, queryGeneric as query } from "convex/server";
import { v } from "convex/values";

export const write = mutation({
  args: { text: v.string() },
  handler: async (ctx, { text }) => {
    await ctx.db.insert("lines", { text: `${process.env.LABEL}: ${text}` });
    return null;
  },
});

export const all = query({ args: {}, handler: async (ctx) => (await ctx.db.query("lines").collect()).map(({ text }) => text) });
