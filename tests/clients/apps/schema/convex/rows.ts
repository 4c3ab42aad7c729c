import { v } from "convex/values";
import { mutation, query } from "./_generated/server";

const anything = { table: v.string(), value: v.any() };

export const insert = mutation({
  args: anything,
  handler: async (ctx, { table, value }) => await ctx.db.insert(table as any, value),
});

export const insertMany = mutation({
  args: { ...anything, count: v.number() },
  handler: async (ctx, { table, value, count }) => {
    for (let i = 0; i < count; i += 1) await ctx.db.insert(table as any, value);
  },
});

export const replace = mutation({
  args: { id: v.string(), value: v.any() },
  handler: async (ctx, { id, value }) => await ctx.db.replace(id as any, value),
});

export const remove = mutation({
  args: { id: v.string() },
  handler: async (ctx, { id }) => await ctx.db.delete(id as any),
});

/** The field `label` of the rows whose index fields equal these values; `{ absent: true }` stands for undefined. */
export const labels = query({
  args: { table: v.string(), index: v.string(), equal: v.array(v.any()) },
  handler: async (ctx, { table, index, equal }) => {
    const rows = await (ctx.db.query(table as any) as any)
      .withIndex(index, (q: any) =>
        equal.reduce((q, [field, value]) => q.eq(field, value?.absent ? undefined : value), q),
      )
      .collect();
    return rows.map((row: any) => row.label);
  },
});

export const version = query({ args: {}, handler: async () => "first" });
