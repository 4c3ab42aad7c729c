import { type AnyComponents, anyApi, componentsGeneric, createFunctionHandle, mutationGeneric as mutation, queryGeneric as query, actionGeneric as action, internalMutationGeneric as internalMutation } from "convex/server";
import { v } from "convex/values";

const components = componentsGeneric() as any;
const { counter, second } = components;
const instance = (name: string) => (name === "second" ? second : counter);

export const add = mutation({
  args: { to: v.string(), key: v.string() },
  handler: async (ctx, { to, key }) => await ctx.runMutation(instance(to).counts.add, { key }),
});

export const get = query({
  args: { of: v.string(), key: v.string() },
  handler: async (ctx, { of, key }) => await ctx.runQuery(instance(of).counts.get, { key }),
});

export const note = mutation({
  args: { note: v.string() },
  handler: async (ctx, { note }) => await ctx.db.insert("counts", { note }),
});

export const notes = query({
  args: {},
  handler: async (ctx) => (await ctx.db.query("counts").collect()).map(({ note }) => note),
});

/** Adds to the component and fails, or not. */
export const addAndThrow = mutation({
  args: { key: v.string(), inside: v.boolean() },
  handler: async (ctx, { key, inside }) => {
    await ctx.db.insert("counts", { note: `before ${key}` });
    try {
      await ctx.runMutation(inside ? counter.counts.addAndThrow : counter.counts.add, { key });
    } catch (error) {
      return { message: (error as Error).message, data: (error as any).data };
    }
    throw new Error("the app failed");
  },
});

export const callInternal = mutation({
  args: {},
  handler: async (ctx) => await ctx.runMutation(counter.counts.hidden, {}),
});

export const callMissing = mutation({
  args: { path: v.string() },
  handler: async (ctx, { path }) => await ctx.runMutation(path === "component" ? components.third.counts.add : counter.counts.missing, {}),
});

export const page = query({
  args: {},
  handler: async (ctx) => await ctx.runQuery(counter.counts.page, {}),
});

export const variables = query({
  args: { of: v.string() },
  handler: async (ctx, { of }) => await ctx.runQuery(instance(of).counts.variables, {}),
});

export const ownVariables = query({
  args: {},
  handler: async () => [process.env.STEP, process.env.LABEL ?? null],
});

/** Ids of one component mean nothing in another. */
export const foreignId = query({
  args: { id: v.string() },
  handler: async (ctx, { id }) => await ctx.runQuery(second.counts.byId, { id }),
});

export const where = query({
  args: {},
  handler: async (ctx) => await ctx.runQuery(counter.counts.where, {}),
});

export const whereFromAction = action({
  args: {},
  handler: async (ctx) => ({
    query: await ctx.runQuery(counter.counts.where, {}),
    action: await ctx.runAction(counter.counts.whereFromAction, {}),
  }),
});

/** Has the component call back what it was given. */
export const callBack = mutation({
  args: { text: v.string() },
  handler: async (ctx, { text }) => {
    const handle = await createFunctionHandle(anyApi.app.noteInternally as any);
    const again = await createFunctionHandle(handle as any);
    if (handle !== again) throw new Error("a handle is not its own handle");
    await ctx.runMutation(counter.counts.callBack, { handle, args: { note: text } });
    return handle;
  },
});

export const noteInternally = internalMutation({
  args: { note: v.string() },
  handler: async (ctx, { note }) => {
    await ctx.db.insert("counts", { note });
  },
});

export const callHandle = action({
  args: { handle: v.string(), args: v.any() },
  handler: async (ctx, { handle, args }) => await ctx.runMutation(handle as any, args),
});

export const later = mutation({
  args: { note: v.string() },
  handler: async (ctx, { note }) => {
    const handle = await createFunctionHandle(anyApi.app.noteInternally as any);
    await ctx.scheduler.runAfter(0, counter.counts.add, { key: `later ${note}` });
    return await ctx.runMutation(counter.counts.scheduleHandle, { handle, args: { note: `later ${note}` } });
  },
});

export const scheduledThere = query({
  args: {},
  handler: async (ctx) => ({
    here: (await ctx.db.system.query("_scheduled_functions").collect()).map(({ name, state }) => [name, state.kind]),
    there: await ctx.runQuery(counter.counts.scheduled, {}),
  }),
});

export const ticks = query({
  args: {},
  handler: async (ctx) => await ctx.runQuery(counter.counts.get, { key: "tick" }),
});

export const journal = query({
  args: {},
  handler: async (ctx) => await ctx.runQuery(counter.counts.journal, {}),
});

export const handleFromAction = action({
  args: {},
  handler: async (ctx) => [await createFunctionHandle(anyApi.app.noteInternally as any), await ctx.runAction(counter.counts.ownHandle, {})],
});
