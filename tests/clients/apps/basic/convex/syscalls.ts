import { actionGeneric as action, mutationGeneric as mutation, queryGeneric as query } from "convex/server";
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
