import { actionGeneric as action, anyApi, internalMutationGeneric as internalMutation, mutationGeneric as mutation, queryGeneric as query } from "convex/server";
import { v } from "convex/values";

const args = { calls: v.array(v.object({ kind: v.string(), name: v.string(), args: v.string() })) };

/** Makes host calls as bundles do, with any text; one after the other. */
async function perform({ calls }: { calls: { kind: string; name: string; args: string }[] }) {
  const { syscall, asyncSyscall, jsSyscall } = (globalThis as any).Convex;
  const outcomes: string[] = [];
  for (const { kind, name, args } of calls) {
    try {
      const answer = kind === "sync" ? syscall(name, args) : kind === "async" ? await asyncSyscall(name, args) : await jsSyscall(name, JSON.parse(args));
      outcomes.push(`ok ${typeof answer === "string" ? answer.slice(0, 200) : typeof answer}`);
    } catch (error) {
      outcomes.push(`${(error as Error).name}: ${(error as Error).message}`);
    }
  }
  return outcomes;
}

export const inQuery = query({ args, handler: async (_, calls) => await perform(calls) });
export const inMutation = mutation({ args, handler: async (_, calls) => await perform(calls) });
export const inAction = action({ args, handler: async (_, calls) => await perform(calls) });

const origin = async (ctx: any) => await ctx.meta.getRequestMetadata();
export const originInMutation = mutation({ args: {}, handler: origin });
export const originInQuery = query({ args: {}, handler: origin });
export const originInAction = action({
  args: {},
  handler: async (ctx) => [await origin(ctx), await ctx.runMutation(anyApi.syscalls.originInMutation as any, {}), await ctx.runMutation(anyApi.syscalls.originNested as any, {})],
});
export const originNested = mutation({ args: {}, handler: async (ctx) => await ctx.runMutation(anyApi.syscalls.originInMutation as any, {}) });
export const scheduleOrigin = mutation({ args: {}, handler: async (ctx) => await ctx.scheduler.runAfter(0, anyApi.syscalls.noteOrigin as any, {}) });
export const noteOrigin = internalMutation({
  args: {},
  handler: async (ctx) => {
    const found = await ctx.runMutation(anyApi.syscalls.originInMutation as any, {});
    await ctx.db.insert("values", { name: "origin", value: found });
  },
});
export const notedOrigin = query({ args: {}, handler: async (ctx) => (await ctx.db.query("values").collect()).find(({ name }) => name === "origin")?.value ?? null });
