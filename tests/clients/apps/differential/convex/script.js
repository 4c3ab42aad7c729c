import { anyApi } from "convex/server";
import { v } from "convex/values";
import { mutation, query } from "./_generated/server.js";

// Functions that do what a list of steps says, so that generated programs run as ordinary user code.

const args = { steps: v.any(), ids: v.array(v.string()) };

export const write = mutation({ args, handler: (ctx, { steps, ids }) => run(ctx, steps, ids) });
export const read = query({ args, handler: (ctx, { steps, ids }) => run(ctx, steps, ids) });

/** Writes, and fails. */
export const fail = mutation({
  args,
  handler: async (ctx, { steps, ids }) => {
    await run(ctx, steps, ids);
    throw new Error("failed on purpose");
  },
});

export const page = query({
  args: { ids: v.array(v.string()), what: v.any(), options: v.any() },
  handler: (ctx, { ids, what, options }) => build(ctx, what, ids).paginate(options),
});

export const clear = mutation({
  args: { tables: v.array(v.string()) },
  handler: async (ctx, { tables }) => {
    for (const table of tables) for (const row of await ctx.db.query(table).collect()) await ctx.db.delete(row._id);
  },
});

export const echo = query({ args: { value: v.any() }, handler: async (ctx, { value }) => value });

export const typedArgs = query({
  args: {
    n: v.optional(v.number()),
    i: v.optional(v.int64()),
    text: v.optional(v.string()),
    list: v.optional(v.array(v.union(v.boolean(), v.null()))),
    object: v.optional(v.object({ x: v.number(), y: v.optional(v.bytes()) })),
    literal: v.optional(v.union(v.literal("a"), v.literal(2))),
    ref: v.optional(v.id("loose")),
  },
  handler: async (ctx, given) => given,
});

export const typedReturns = query({
  args: { value: v.any() },
  returns: v.union(v.object({ x: v.number(), y: v.optional(v.string()) }), v.array(v.int64()), v.null()),
  handler: async (ctx, { value }) => value,
});

/** What each step gave, and the ids of all documents inserted so far. */
async function run(ctx, steps, ids) {
  const outcomes = [];
  for (const step of steps) {
    try {
      outcomes.push({ ok: (await apply(ctx, step, ids)) ?? null });
    } catch (error) {
      outcomes.push({ error: error.message });
    }
  }
  return { outcomes, ids };
}

async function apply(ctx, [op, ...rest], ids) {
  const operands = rest.map((operand) => decode(operand, ids));
  switch (op) {
    case "insert": {
      const id = await ctx.db.insert(...operands);
      ids.push(id);
      return id;
    }
    case "get":
    case "patch":
    case "replace":
    case "delete":
      return await ctx.db[op](...operands);
    case "normalizeId":
      return ctx.db.normalizeId(...operands);
    case "query":
      return await finish(build(ctx, rest[0], ids), rest[0].end);
    case "echo":
      return await ctx.runQuery(anyApi.script.echo, { value: operands[0] });
    case "update": {
      const [id, fields] = operands;
      await ctx.db.replace(id, { ...(await ctx.db.get(id)), ...fields });
      return null;
    }
    case "nest": {
      const [kind, steps] = rest;
      const nested = anyApi.script[kind];
      const outcome =
        kind === "read" ? await ctx.runQuery(nested, { steps, ids }) : await ctx.runMutation(nested, { steps, ids });
      ids.splice(0, ids.length, ...outcome.ids);
      return outcome.outcomes;
    }
    default:
      throw new Error(`no operation ${op}`);
  }
}

function build(ctx, { table, index, range = [], order, filter }, ids) {
  let query = ctx.db.query(table);
  if (index !== undefined) {
    query = query.withIndex(index, (q) =>
      range.reduce((q, [op, field, value]) => q[op](field, decode(value, ids)), q),
    );
  }
  if (order !== undefined) query = query.order(order);
  if (filter !== undefined) query = query.filter((q) => expression(q, filter, ids));
  return query;
}

function expression(q, [op, ...operands], ids) {
  if (op === "field") return q.field(operands[0]);
  if (op === "value") return decode(operands[0], ids);
  return q[op](...operands.map((operand) => expression(q, operand, ids)));
}

async function finish(query, [end, n]) {
  if (end === "unordered") return await query.collect();
  if (end !== "iterate") return await query[end](...(n === undefined ? [] : [n]));
  const seen = [];
  for await (const row of query) {
    seen.push(row);
    if (seen.length === n) break;
  }
  return seen;
}

/** `{ id_: n }` is the id of the n-th document, `{ undefined_: true }` is undefined. */
function decode(value, ids) {
  if (Array.isArray(value)) return value.map((element) => decode(element, ids));
  if (typeof value !== "object" || value === null || value instanceof ArrayBuffer) return value;
  if ("undefined_" in value) return undefined;
  if ("id_" in value) {
    if (ids.length === 0) throw new Error("there is no document yet");
    return ids[value.id_ % ids.length];
  }
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, decode(field, ids)]));
}
