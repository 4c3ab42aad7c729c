import { ShardedCounter } from "@convex-dev/sharded-counter";
import { v } from "convex/values";

import { components } from "./_generated/api";
import { mutation, query } from "./_generated/server";

const counter = new ShardedCounter(components.shardedCounter, { defaultShards: 8 });

export const add = mutation({ args: { n: v.number() }, handler: async (ctx, { n }) => void (await counter.add(ctx, "beans", n)) });
export const count = query({ args: {}, handler: async (ctx) => await counter.count(ctx, "beans") });
