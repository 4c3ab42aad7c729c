import { paginationOptsValidator } from "convex/server";
import { ConvexError, v } from "convex/values";
import { mutation, query } from "./_generated/server";

const MAX_LENGTH = 500;

/** One page of a channel's messages, newest first. */
export const list = query({
  args: {
    channelId: v.id("channels"),
    paginationOpts: paginationOptsValidator,
  },
  handler: async (ctx, args) => {
    return await ctx.db
      .query("messages")
      .withIndex("by_channel", (q) => q.eq("channelId", args.channelId))
      .order("desc")
      .paginate(args.paginationOpts);
  },
});

export const send = mutation({
  args: {
    channelId: v.id("channels"),
    author: v.string(),
    body: v.string(),
  },
  returns: v.id("messages"),
  handler: async (ctx, { channelId, author, body }) => {
    // A ConvexError's data reaches the page as it is, and its transaction is
    // rolled back.
    if (body.trim() === "") {
      throw new ConvexError({ code: "EMPTY", message: "Write something first." });
    }
    if (body.length > MAX_LENGTH) {
      throw new ConvexError({
        code: "TOO_LONG",
        message: `${body.length} characters are ${body.length - MAX_LENGTH} too many.`,
      });
    }

    const channel = await ctx.db.get(channelId);
    if (channel === null) {
      throw new ConvexError({ code: "NO_CHANNEL", message: "This channel is gone." });
    }
    if (channel.slowModeSeconds !== undefined) {
      const last = await ctx.db
        .query("messages")
        .withIndex("by_channel_and_author", (q) =>
          q.eq("channelId", channelId).eq("author", author),
        )
        .order("desc")
        .first();
      const waited = (Date.now() - (last?._creationTime ?? 0)) / 1000;
      if (waited < channel.slowModeSeconds) {
        const seconds = Math.ceil(channel.slowModeSeconds - waited);
        throw new ConvexError({
          code: "SLOW_MODE",
          message: `Slow mode: you can write again in ${seconds} s.`,
        });
      }
    }

    return await ctx.db.insert("messages", { channelId, author, body });
  },
});
