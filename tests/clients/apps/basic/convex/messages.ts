import { paginationOptsValidator } from "convex/server";
import { v } from "convex/values";
import { mutation, query } from "./_generated/server";

export const list = query({
  args: { channel: v.string() },
  handler: async (ctx, { channel }) => {
    const messages = await ctx.db
      .query("messages")
      .withIndex("by_channel", (q) => q.eq("channel", channel))
      .collect();
    return messages.map((message) => message.body);
  },
});

export const count = query({
  args: { channel: v.string() },
  handler: async (ctx, { channel }) => {
    const messages = await ctx.db
      .query("messages")
      .withIndex("by_channel", (q) => q.eq("channel", channel))
      .collect();
    return messages.length;
  },
});

export const page = query({
  args: { channel: v.string(), paginationOpts: paginationOptsValidator },
  handler: async (ctx, { channel, paginationOpts }) => {
    return await ctx.db
      .query("messages")
      .withIndex("by_channel", (q) => q.eq("channel", channel))
      .order("desc")
      .paginate(paginationOpts);
  },
});

export const send = mutation({
  args: { channel: v.string(), body: v.string() },
  returns: v.id("messages"),
  handler: async (ctx, message) => await ctx.db.insert("messages", message),
});

export const sendMany = mutation({
  args: { channel: v.string(), from: v.number(), to: v.number() },
  handler: async (ctx, { channel, from, to }) => {
    for (let n = from; n < to; n += 1) await ctx.db.insert("messages", { channel, body: String(n) });
  },
});

/** Writes nothing. */
export const look = mutation({
  args: { channel: v.string() },
  handler: async (ctx, { channel }) =>
    (await ctx.db.query("messages").withIndex("by_channel", (q) => q.eq("channel", channel)).first())?.body ?? null,
});

/** Moves the newest message to another channel: one write that two queries see. */
export const move = mutation({
  args: { from: v.string(), to: v.string() },
  handler: async (ctx, { from, to }) => {
    const message = await ctx.db
      .query("messages")
      .withIndex("by_channel", (q) => q.eq("channel", from))
      .order("desc")
      .first();
    if (message) await ctx.db.patch(message._id, { channel: to });
  },
});
