import { mutationGeneric as mutation, queryGeneric as query } from "convex/server";
import { v } from "convex/values";

export const seed = mutation({
  args: { from: v.number(), count: v.number(), balance: v.number() },
  handler: async (ctx, { from, count, balance }) => {
    const ids = [];
    for (let i = 0; i < count; i += 1) ids.push(await ctx.db.insert("accounts", { owner: from + i, balance }));
    return ids;
  },
});

export const transfer = mutation({
  args: { from: v.id("accounts"), to: v.id("accounts"), amount: v.number() },
  handler: async (ctx, { from, to, amount }) => {
    const source = await ctx.db.get(from);
    const target = await ctx.db.get(to);
    if (!source || !target) throw new Error("no such account");
    await ctx.db.patch(from, { balance: source.balance - amount });
    await ctx.db.patch(to, { balance: target.balance + amount });
    return null;
  },
});

export const sum = query({
  args: { cursor: v.union(v.string(), v.null()) },
  handler: async (ctx, { cursor }) => {
    const { page, isDone, continueCursor } = await ctx.db
      .query("accounts")
      .paginate({ numItems: 5000, cursor });
    return { sum: page.reduce((sum, account) => sum + account.balance, 0), isDone, continueCursor };
  },
});
