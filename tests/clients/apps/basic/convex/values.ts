import { v } from "convex/values";
import { mutation, query } from "./_generated/server";

export const echo = query({
  args: { value: v.any() },
  handler: async (_ctx, { value }) => value,
});

export const put = mutation({
  args: { name: v.string(), value: v.any() },
  handler: async (ctx, { name, value }) => {
    const old = await ctx.db
      .query("values")
      .withIndex("by_name", (q) => q.eq("name", name))
      .unique();
    if (old) await ctx.db.replace(old._id, { name, value });
    else await ctx.db.insert("values", { name, value });
    return value;
  },
});

export const get = query({
  args: { name: v.string() },
  handler: async (ctx, { name }) => {
    const found = await ctx.db
      .query("values")
      .withIndex("by_name", (q) => q.eq("name", name))
      .unique();
    return found ? found.value : null;
  },
});

/** What the function itself saw, told apart where JSON could not. */
export const describe = query({
  args: { value: v.any() },
  handler: async (_ctx, { value }) => {
    if (typeof value === "bigint") return `bigint ${value}`;
    if (value instanceof ArrayBuffer) return `bytes ${[...new Uint8Array(value)]}`;
    if (Object.is(value, -0)) return "number -0";
    return `${value === null ? "null" : typeof value} ${value}`;
  },
});

export const large = query({
  args: { length: v.number() },
  handler: async (_ctx, { length }) => "x".repeat(length),
});
