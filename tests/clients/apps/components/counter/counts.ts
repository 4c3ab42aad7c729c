import {
  actionGeneric as action,
  anyApi,
  componentsGeneric,
  createFunctionHandle,
  getFunctionName,
  internalMutationGeneric as internalMutation,
  mutationGeneric as mutation,
  queryGeneric as query,
} from "convex/server";
import { ConvexError, v } from "convex/values";

const { journal: child } = componentsGeneric() as any;

const increment = async (ctx: any, key: string) => {
  const row = await ctx.db.query("counts").withIndex("by_key", (q: any) => q.eq("key", key)).unique();
  const step = Number(process.env.STEP);
  if (row === null) return await ctx.db.insert("counts", { key, count: step });
  await ctx.db.patch(row._id, { count: row.count + step });
  return row._id;
};

export const add = mutation({
  args: { key: v.string() },
  returns: v.id("counts"),
  handler: async (ctx, { key }) => {
    await ctx.runMutation(child.lines.write, { text: `${process.env.LABEL} ${key}` });
    return await increment(ctx, key);
  },
});

export const addAndThrow = mutation({
  args: { key: v.string() },
  handler: async (ctx, { key }) => {
    await increment(ctx, key);
    throw new ConvexError({ key });
  },
});

export const get = query({
  args: { key: v.string() },
  handler: async (ctx, { key }) => {
    const row = await ctx.db.query("counts").withIndex("by_key", (q: any) => q.eq("key", key)).unique();
    return row === null ? 0 : row.count;
  },
});

export const byId = query({
  args: { id: v.string() },
  handler: async (ctx, { id }) => await ctx.db.get(id as any),
});

export const hidden = internalMutation({ args: {}, handler: async () => "hidden" });

export const tick = internalMutation({ args: {}, handler: async (ctx) => void (await increment(ctx, "tick")) });

export const page = query({
  args: {},
  handler: async (ctx) => await ctx.db.query("counts").paginate({ cursor: null, numItems: 1 }),
});

export const variables = query({
  args: {},
  handler: async () => [process.env.STEP, process.env.LABEL, process.env.NONE ?? null, process.env.NOTE ?? null, process.env.CONVEX_SITE_URL],
});

const whoAmI = async (ctx: any) => (await ctx.auth.getUserIdentity())?.tokenIdentifier ?? null;

export const where = query({
  args: {},
  handler: async (ctx) => ({ name: getFunctionName(anyApi.counts.where), user: await whoAmI(ctx) }),
});

export const whereFromAction = action({ args: {}, handler: async (ctx) => ({ user: await whoAmI(ctx) }) });

export const callBack = mutation({
  args: { handle: v.string(), args: v.any() },
  handler: async (ctx, { handle, args }) => await ctx.runMutation(handle as any, args),
});

export const scheduleHandle = mutation({
  args: { handle: v.string(), args: v.any() },
  handler: async (ctx, { handle, args }) => await ctx.scheduler.runAfter(0, handle as any, args),
});

export const scheduled = query({
  args: {},
  handler: async (ctx) => (await ctx.db.system.query("_scheduled_functions").collect()).map(({ name, state }) => [name, state.kind]),
});

export const journal = query({ args: {}, handler: async (ctx) => await ctx.runQuery(child.lines.all, {}) });

export const ownHandle = action({ args: {}, handler: async () => await createFunctionHandle(anyApi.counts.hidden as any) });
