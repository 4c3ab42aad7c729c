import { MINUTE, RateLimiter } from "@convex-dev/rate-limiter";
import { v } from "convex/values";

import { components } from "./_generated/api";
import { mutation, query } from "./_generated/server";

const limiter = new RateLimiter(components.rateLimiter, {
  message: { kind: "token bucket", rate: 1, period: MINUTE, capacity: 3 },
  sharded: { kind: "fixed window", rate: 100, period: MINUTE, shards: 4 },
});

export const take = mutation({
  args: { key: v.string(), throws: v.optional(v.boolean()) },
  handler: async (ctx, { key, throws }) => await limiter.limit(ctx, "message", { key, throws }),
});

export const peek = query({
  args: { key: v.string() },
  handler: async (ctx, { key }) => (await limiter.check(ctx, "message", { key })).ok,
});

export const takeSharded = mutation({
  args: { count: v.number() },
  handler: async (ctx, { count }) => (await limiter.limit(ctx, "sharded", { count })).ok,
});
