import { ActionRetrier } from "@convex-dev/action-retrier";
import { v } from "convex/values";

import { components, internal } from "./_generated/api";
import { internalAction, internalMutation, mutation } from "./_generated/server";

const retrier = new ActionRetrier(components.actionRetrier, { initialBackoffMs: 10, base: 2, maxFailures: 5 });

export const start = mutation({
  args: { failures: v.number() },
  handler: async (ctx, { failures }) =>
    await retrier.run(ctx, internal.retries.flaky, { failures }, { onComplete: internal.retries.done }),
});

export const flaky = internalAction({
  args: { failures: v.number() },
  handler: async (ctx, { failures }) => {
    const tries = await ctx.runMutation(internal.retries.count, {});
    if (tries <= failures) throw new Error(`try ${tries}`);
    return tries;
  },
});

export const count = internalMutation({
  args: {},
  handler: async (ctx) => {
    await ctx.db.insert("events", { text: "try" });
    return (await ctx.db.query("events").collect()).filter(({ text }) => text === "try").length;
  },
});

export const done = internalMutation({
  args: { runId: v.any(), result: v.any() },
  handler: async (ctx, { result }) => void (await ctx.db.insert("events", { text: `retried: ${result.type} ${result.returnValue}` })),
});
