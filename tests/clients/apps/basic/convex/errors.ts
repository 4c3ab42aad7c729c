import { ConvexError, v } from "convex/values";
import { internalMutation, internalQuery, mutation, query } from "./_generated/server";

export const failingQuery = query({
  args: { data: v.any() },
  handler: async (_ctx, { data }) => {
    throw new ConvexError(data);
  },
});

export const failingMutation = mutation({
  args: { data: v.any() },
  handler: async (ctx, { data }) => {
    // Rolled back with the rest.
    await ctx.db.insert("messages", { channel: "rolled-back", body: "never seen" });
    throw new ConvexError(data);
  },
});

export const plainError = query({
  args: {},
  handler: async (): Promise<null> => {
    throw new TypeError("boom");
  },
});

export const plainErrorMutation = mutation({
  args: {},
  handler: async (): Promise<null> => {
    throw new Error("boom");
  },
});

export const needsNumber = query({
  args: { n: v.number() },
  handler: async (_ctx, { n }) => n,
});

export const returnsWrong = query({
  args: {},
  returns: v.string(),
  handler: async () => 1 as unknown as string,
});

export const secretQuery = internalQuery({ args: {}, handler: async () => "secret" });

export const secretMutation = internalMutation({ args: {}, handler: async () => "secret" });

export const endless = query({
  args: {},
  handler: async (): Promise<null> => {
    for (;;) {}
  },
});
