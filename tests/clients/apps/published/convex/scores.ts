import { TableAggregate } from "@convex-dev/aggregate";
import { Migrations } from "@convex-dev/migrations";
import { v } from "convex/values";

import { components, internal } from "./_generated/api";
import type { DataModel } from "./_generated/dataModel";
import { internalMutation, mutation, query } from "./_generated/server";

const byScore = new TableAggregate<{ Key: [string, number]; DataModel: DataModel; TableName: "scores" }>(components.aggregate, {
  sortKey: (doc) => [doc.player, doc.score],
  sumValue: (doc) => doc.score,
});

export const add = mutation({
  args: { rows: v.array(v.object({ player: v.string(), score: v.number() })) },
  handler: async (ctx, { rows }) => {
    for (const row of rows) {
      const id = await ctx.db.insert("scores", row);
      await byScore.insert(ctx, (await ctx.db.get(id))!);
    }
  },
});

export const statistics = query({
  args: { player: v.string() },
  handler: async (ctx, { player }) => {
    const bounds = { prefix: [player] as [string] };
    const best = await byScore.max(ctx, { bounds });
    return {
      count: await byScore.count(ctx),
      ofPlayer: await byScore.count(ctx, { bounds }),
      sum: await byScore.sum(ctx, { bounds }),
      best: best?.key,
      third: (await byScore.at(ctx, 2)).key,
    };
  },
});

export const migrations = new Migrations<DataModel>(components.migrations, { internalMutation } as any);

export const grade = migrations.define({
  table: "scores",
  batchSize: 4,
  migrateOne: (_, { score }) => ({ grade: score >= 10 ? "high" : "low" }),
});

export const run = migrations.runner();

export const startMigration = mutation({ args: {}, handler: async (ctx) => void (await migrations.runOne(ctx, internal.scores.grade)) });

export const grades = query({ args: {}, handler: async (ctx) => (await ctx.db.query("scores").collect()).map(({ score, grade }) => [score, grade ?? null]) });
