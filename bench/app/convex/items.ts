import { mutationGeneric as mutation, queryGeneric as query } from "convex/server";
import { v } from "convex/values";

// `salt` makes every call a different question, so that no cached answer is given.

export const noop = query({ args: { salt: v.number() }, handler: async () => null });

export const seed = mutation({
  args: { group: v.number(), count: v.number() },
  handler: async (ctx, { group, count }) => {
    const ids = [];
    for (let i = 0; i < count; i += 1) {
      const id = await ctx.db.insert("items", {
        group,
        name: `Person number ${i}`,
        email: `person${i}@example.com`,
        age: 20 + (i % 60),
        score: i * 1.5,
        active: i % 2 === 0,
        tags: ["red", "green", "blue"],
        address: { street: `${i} Main Street`, city: "Springfield" },
        note: i % 3 === 0 ? null : "a few words about this person",
        updatedAt: 1700000000000 + i,
      });
      ids.push(id);
    }
    return ids;
  },
});

export const list = query({
  args: { group: v.number(), salt: v.number() },
  handler: async (ctx, { group }) =>
    await ctx.db
      .query("items")
      .withIndex("by_group", (q) => q.eq("group", group))
      .collect(),
});

export const get = query({
  args: { id: v.id("items"), salt: v.number() },
  handler: async (ctx, { id }) => await ctx.db.get(id),
});
