import { v } from "convex/values";
import { mutation, query } from "./_generated/server";

/** Appends, whatever is there already: a mutation that runs twice shows. */
export const add = mutation({
  args: { list: v.string(), n: v.number() },
  handler: async (ctx, entry) => {
    await ctx.db.insert("entries", entry);
    return entry.n;
  },
});

/** The numbers in the order in which they were inserted. */
export const inOrder = query({
  args: { list: v.string() },
  handler: async (ctx, { list }) => {
    const entries = await ctx.db.query("entries").collect();
    return entries.filter((entry) => entry.list === list).map((entry) => entry.n);
  },
});

export const last = query({
  args: { list: v.string() },
  handler: async (ctx, { list }) => {
    const entry = await ctx.db
      .query("entries")
      .withIndex("by_list", (q) => q.eq("list", list))
      .order("desc")
      .first();
    return entry?.n ?? null;
  },
});
