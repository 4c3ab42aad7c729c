import { mutationGeneric as mutation } from "convex/server";
import { v } from "convex/values";

export const insert = mutation({
  args: { author: v.string(), body: v.string(), n: v.number() },
  handler: async (ctx, args) => await ctx.db.insert("notes", args),
});
