import { WorkflowManager } from "@convex-dev/workflow";
import { v } from "convex/values";

import { components, internal } from "./_generated/api";
import { internalAction, mutation, query } from "./_generated/server";

export const workflow = new WorkflowManager(components.workflow);

export const order = workflow.define({
  args: { name: v.string() },
  returns: v.number(),
  handler: async (step, { name }): Promise<number> => {
    const lengths = await Promise.all([
      step.runMutation(internal.events.note, { text: `ordered ${name}` }),
      step.runAction(internal.flow.shout, { name }, { retry: true }),
    ]);
    await step.sleep(20);
    await step.runMutation(internal.events.note, { text: `sent ${name}` });
    return Number(lengths[0]) + String(lengths[1]).length;
  },
});

export const shout = internalAction({ args: { name: v.string() }, handler: async (_, { name }) => name.toUpperCase() });

export const start = mutation({
  args: { name: v.string() },
  handler: async (ctx, { name }): Promise<string> => await workflow.start(ctx, internal.flow.order, { name }),
});

export const status = query({ args: { id: v.string() }, handler: async (ctx, { id }): Promise<any> => await workflow.status(ctx, id as any) });
