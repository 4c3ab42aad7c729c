import { v } from "convex/values";
import { mutation, query } from "./_generated/server";

/** `db.system`, and what `db` says to ids and tables of the system. */
export const system = query({
  args: {},
  handler: async (ctx) => {
    const outcome = async (promise: () => Promise<unknown>) =>
      (async () => await promise())().then(JSON.stringify, (error: Error) => error.message.split("\n")[0]);
    return {
      storage: await ctx.db.system.query("_storage").collect(),
      scheduled: await ctx.db.system.query("_scheduled_functions").order("desc").take(2),
      page: (await ctx.db.system.query("_storage").paginate({ numItems: 3, cursor: null })).page,
      missing: await outcome(() => ctx.db.system.get("kg2004926d25askqh2ctneycvn8ja8ag" as any)),
      throughDb: await outcome(() => ctx.db.get("kg2004926d25askqh2ctneycvn8ja8ag" as any)),
      userTable: await outcome(() => (ctx.db.system as any).query("messages").collect()),
      systemTable: await outcome(() => (ctx.db as any).query("_storage").collect()),
      normalized: ctx.db.system.normalizeId("_storage", "kg2004926d25askqh2ctneycvn8ja8ag"),
    };
  },
});

export const storesInSystemTable = mutation({
  args: { table: v.string() },
  handler: async (ctx, { table }) => await ctx.db.insert(table as any, {}),
});

/** The count that the library has and its types do not show. */
export const count = query({ args: {}, handler: async (ctx) => await (ctx.db.query("entries") as any).count() });

export const countWithOwnWrites = mutation({
  args: { list: v.string() },
  handler: async (ctx, { list }) => {
    const before = await (ctx.db.query("entries") as any).count();
    const id = await ctx.db.insert("entries", { list, n: 1 });
    await ctx.db.insert("entries", { list, n: 2 });
    await ctx.db.delete(id);
    return (await (ctx.db.query("entries") as any).count()) - before;
  },
});

/** How many rows an iteration that is left early has read. */
export const breaks = query({
  args: { list: v.string(), after: v.number() },
  handler: async (ctx, { list, after }) => {
    const seen = [];
    for await (const { n } of ctx.db.query("entries").withIndex("by_list", (q) => q.eq("list", list))) {
      seen.push(n);
      if (seen.length === after) break;
    }
    return { seen, read: (await ctx.meta.getTransactionMetrics()).documentsRead.used };
  },
});

export const pages = query({
  args: { list: v.string(), options: v.any() },
  handler: async (ctx, { list, options }) =>
    await ctx.db
      .query("entries")
      .withIndex("by_list", (q) => q.eq("list", list))
      .paginate(options),
});
