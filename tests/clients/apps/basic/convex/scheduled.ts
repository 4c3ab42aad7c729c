import { v } from "convex/values";
import { api, internal } from "./_generated/api";
import type { Id } from "./_generated/dataModel";
import { action, internalAction, internalMutation, mutation, query } from "./_generated/server";

const list = v.string();

/** Runs later; what it sees of itself goes into the list as well. */
export const record = internalMutation({
  args: { list, n: v.number() },
  handler: async (ctx, { list, n }) => {
    await ctx.db.insert("entries", { list, n });
    const jobs = await ctx.db.system.query("_scheduled_functions").collect();
    const running = jobs.filter((job) => job.state.kind === "inProgress" && job.name === "scheduled.js:record");
    if (running.length !== 1) throw new Error(`${running.length} run`);
  },
});

export const recordByAction = internalAction({
  args: { list, n: v.number() },
  handler: async (ctx, entry) => {
    await ctx.runMutation(internal.actions.insert, entry);
  },
});

export const fails = internalMutation({
  args: { list },
  handler: async (ctx, { list }) => {
    await ctx.db.insert("entries", { list, n: 1 });
    throw new Error("scheduled and failed");
  },
});

export const waits = internalAction({
  args: { list, ms: v.number() },
  handler: async (ctx, { list, ms }) => {
    await ctx.runMutation(internal.actions.insert, { list, n: 1 });
    await new Promise((done) => setTimeout(done, ms));
    await ctx.runMutation(internal.actions.insert, { list, n: 2 });
  },
});

export const later = mutation({
  args: { list, delays: v.array(v.number()) },
  handler: async (ctx, { list, delays }) => {
    const ids = [];
    for (const [n, delay] of delays.entries()) ids.push(await ctx.scheduler.runAfter(delay, internal.scheduled.record, { list, n }));
    return ids;
  },
});

export const at = mutation({
  args: { list, times: v.array(v.number()) },
  handler: async (ctx, { list, times }) => {
    for (const [n, time] of times.entries()) await ctx.scheduler.runAt(time, internal.scheduled.record, { list, n });
  },
});

/** Schedules by name, whatever it is. */
export const any = mutation({
  args: { name: v.string(), args: v.any(), delay: v.number() },
  handler: async (ctx, { name, args, delay }) => await ctx.scheduler.runAfter(delay, name as any, args),
});

export const abandoned = mutation({
  args: { list },
  handler: async (ctx, { list }) => {
    await ctx.scheduler.runAfter(0, internal.scheduled.record, { list, n: 1 });
    throw new Error("nothing is scheduled");
  },
});

export const byAction = action({
  args: { list },
  handler: async (ctx, { list }) => {
    const first = await ctx.scheduler.runAfter(0, internal.scheduled.record, { list, n: 1 });
    await ctx.scheduler.runAfter(0, internal.scheduled.recordByAction, { list, n: 2 });
    const canceled = await ctx.scheduler.runAfter(60_000, internal.scheduled.record, { list, n: 3 });
    await ctx.scheduler.cancel(canceled);
    return [first, canceled];
  },
});

export const cancel = mutation({
  args: { id: v.id("_scheduled_functions") },
  handler: async (ctx, { id }) => await ctx.scheduler.cancel(id),
});

export const job = query({
  args: { id: v.id("_scheduled_functions") },
  handler: async (ctx, { id }) => await ctx.db.system.get(id),
});

export const states = query({
  args: {},
  handler: async (ctx) => {
    const jobs = await ctx.db.system.query("_scheduled_functions").collect();
    const counts: Record<string, number> = {};
    for (const { state } of jobs) counts[state.kind] = (counts[state.kind] ?? 0) + 1;
    return counts;
  },
});

/** Each schedules the next. */
export const chain = internalMutation({
  args: { list, left: v.number() },
  handler: async (ctx, { list, left }): Promise<Id<"_scheduled_functions"> | null> => {
    await ctx.db.insert("entries", { list, n: left });
    if (left === 0) return null;
    return await ctx.scheduler.runAfter(0, internal.scheduled.chain, { list, left: left - 1 });
  },
});

export const metrics = mutation({
  args: { list, count: v.number() },
  handler: async (ctx, { list, count }) => {
    for (let n = 0; n < count; n += 1) await ctx.scheduler.runAfter(3_600_000, internal.scheduled.record, { list, n });
    return (await ctx.meta.getTransactionMetrics()).functionsScheduled;
  },
});

export const publicQuery = query({ args: {}, handler: async () => api.entries.last !== undefined });
