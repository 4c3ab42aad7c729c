import { v } from "convex/values";

import { internal } from "./_generated/api";
import { internalMutation, internalQuery, mutation, query } from "./_generated/server";

const list = v.string();

export const contents = query({
  args: { list },
  handler: async (ctx, { list }) =>
    (await ctx.db.query("entries").withIndex("by_list", (q) => q.eq("list", list)).collect()).map(({ n }) => n),
});

export const read = internalQuery({
  args: { list },
  handler: async (ctx, { list }): Promise<number[]> =>
    (await ctx.db.query("entries").withIndex("by_list", (q) => q.eq("list", list)).collect()).map(({ n }) => n),
});

export const write = internalMutation({
  args: { list, from: v.number(), count: v.number(), fails: v.boolean() },
  handler: async (ctx, { list, from, count, fails }) => {
    for (let n = from; n < from + count; n += 1) await ctx.db.insert("entries", { list, n });
    if (fails) throw new Error("after its writes");
    return count;
  },
});

/** What a promise came to, errors as their first line. */
const outcome = (promise: Promise<unknown>) =>
  promise.then(String, (error: Error) => `Error: ${error.message.split("\n")[0]}`);

export const nestedFails = mutation({
  args: { list },
  handler: async (ctx, { list }): Promise<{ before: number[]; failed: string; after: number[] }> => {
    await ctx.db.insert("entries", { list, n: 0 });
    await ctx.runMutation(internal.transactions.write, { list, from: 1, count: 2, fails: false });
    const before = await ctx.runQuery(internal.transactions.read, { list });
    const failed = await outcome(
      ctx.runMutation(internal.transactions.write, { list, from: 3, count: 2, fails: true }),
    );
    const after = await ctx.runQuery(internal.transactions.read, { list });
    return { before, failed, after };
  },
});

export const limited = mutation({
  args: { list },
  handler: async (ctx, { list }): Promise<{ outcomes: string[]; written: number[]; remaining: number[] }> => {
    const write = (from: number, count: number, transactionLimits: object) =>
      outcome(
        ctx.runMutation(internal.transactions.write, { list, from, count, fails: false }, { transactionLimits }),
      );
    const remaining = async () => (await ctx.meta.getTransactionMetrics()).documentsWritten;
    const start = await remaining();
    const outcomes = [
      // Exactly the budget, then one past it, then budgets that do not concern writes.
      await write(0, 3, { documentsWritten: 3 }),
      await write(3, 4, { documentsWritten: 3 }),
      await write(7, 1, { bytesWritten: 10 }),
      await write(8, 1, { documentsRead: 0, bytesRead: 0 }),
      await outcome(
        ctx.runQuery(internal.transactions.read, { list }, { transactionLimits: { documentsRead: 2 } }),
      ),
      await outcome(
        // Another interval: the same one again is no further read.
        ctx.runQuery(
          internal.transactions.read,
          { list: `${list}, not read before` },
          { transactionLimits: { databaseQueries: 0 } },
        ),
      ),
    ];
    const end = await remaining();
    const written = (await ctx.runQuery(internal.transactions.read, { list })) as number[];
    return {
      outcomes,
      written,
      remaining: [end.used - start.used, start.remaining - end.remaining],
    };
  },
});

export const stale = mutation({
  args: { list },
  handler: async (ctx, { list }): Promise<{ fresh: number[]; stale: number[] }> => {
    await ctx.db.insert("entries", { list, n: 1 });
    return {
      fresh: await ctx.runQuery(internal.transactions.read, { list }),
      stale: await ctx.runQuery(internal.transactions.read, { list }, { useStaleSnapshot: true }),
    };
  },
});

export const stamped = mutation({
  args: {},
  handler: async (ctx): Promise<{ id: string; begin: bigint; committed: unknown }> => {
    const id = await ctx.db.insert("values", { name: "stamped", value: { at: [ctx.db.vars.commitTs] } });
    return { id, begin: ctx.meta.getSnapshotTs(), committed: ctx.db.vars.commitTs };
  },
});

export const increment = mutation({
  args: { list },
  handler: async (ctx, { list }) => {
    const counter = await ctx.db
      .query("entries")
      .withIndex("by_list", (q) => q.eq("list", list))
      .unique();
    if (counter === null) await ctx.db.insert("entries", { list, n: 1 });
    else await ctx.db.patch(counter._id, { n: counter.n + 1 });
  },
});
