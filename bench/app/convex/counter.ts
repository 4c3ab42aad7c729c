import { mutationGeneric as mutation, queryGeneric as query } from "convex/server";
import { v } from "convex/values";

export const get = query({
  args: {},
  handler: async (ctx) => (await ctx.db.query("counters").first())?.value ?? 0,
});

export const set = mutation({
  args: { value: v.number() },
  handler: async (ctx, { value }) => {
    const row = await ctx.db.query("counters").first();
    if (row) await ctx.db.patch(row._id, { value });
    else await ctx.db.insert("counters", { value });
    return null;
  },
});

export const increment = mutation({
  args: {},
  handler: async (ctx) => {
    const row = await ctx.db.query("counters").first();
    if (!row) throw new Error("the counter was not set");
    await ctx.db.patch(row._id, { value: row.value + 1 });
    return null;
  },
});
