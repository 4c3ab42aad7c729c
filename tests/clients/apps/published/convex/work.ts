import { vOnCompleteArgs, Workpool } from "@convex-dev/workpool";
import { v } from "convex/values";

import { components, internal } from "./_generated/api";
import { internalAction, internalMutation, mutation } from "./_generated/server";

const pool = new Workpool(components.workpool, { maxParallelism: 3 });

export const enqueue = mutation({
  args: { items: v.array(v.number()) },
  handler: async (ctx, { items }) => {
    for (const n of items) {
      await pool.enqueueAction(ctx, internal.work.double, { n }, { onComplete: internal.work.done, context: { n } });
    }
    await pool.enqueueMutation(ctx, internal.events.note, { text: "pooled mutation" });
  },
});

export const double = internalAction({
  args: { n: v.number() },
  handler: async (_, { n }) => {
    if (n < 0) throw new Error("negative");
    return 2 * n;
  },
});

export const done = internalMutation({
  args: vOnCompleteArgs(v.object({ n: v.number() })),
  handler: async (ctx, { context, result }) => {
    const text = result.kind === "success" ? String(result.returnValue) : result.kind;
    await ctx.db.insert("events", { text: `pooled ${context.n}: ${text}` });
  },
});
