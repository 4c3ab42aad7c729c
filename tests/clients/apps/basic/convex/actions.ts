import { v } from "convex/values";
import { ConvexError } from "convex/values";
import { api, internal } from "./_generated/api";
import { action, internalAction, internalMutation, internalQuery } from "./_generated/server";

const list = v.string();

export const count = internalQuery({
  args: { list },
  handler: async (ctx, { list }) =>
    (await ctx.db.query("entries").withIndex("by_list", (q) => q.eq("list", list)).collect()).length,
});

export const insert = internalMutation({
  args: { list, n: v.number() },
  handler: async (ctx, entry) => {
    if (entry.n < 0) throw new ConvexError({ refused: entry.n });
    await ctx.db.insert("entries", entry);
    return entry.n;
  },
});

/** Reads, writes and reads again: an action sees what it has just written. */
export const readsItsWrites = action({
  args: { list },
  returns: v.array(v.number()),
  handler: async (ctx, { list }): Promise<number[]> => {
    const before: number = await ctx.runQuery(internal.actions.count, { list });
    await ctx.runMutation(internal.actions.insert, { list, n: 1 });
    const between: number = await ctx.runQuery(internal.actions.count, { list });
    await Promise.all(Array.from({ length: 20 }, (_, n) => ctx.runMutation(internal.actions.insert, { list, n })));
    const after: number = await ctx.runQuery(internal.actions.count, { list });
    return [before, between, after];
  },
});

export const echo = internalAction({ args: { value: v.any() }, handler: async (ctx, { value }) => value });

export const values = action({
  args: { value: v.any() },
  handler: async (ctx, { value }): Promise<any> => await ctx.runAction(internal.actions.echo, { value }),
});

export const catches = action({
  args: { list },
  handler: async (ctx, { list }): Promise<any> => {
    const outcomes = [];
    // One after the other: a rejection that nobody handles yet would end the action.
    for (const call of [
      () => ctx.runMutation(internal.actions.insert, { list, n: -1 }),
      () => ctx.runMutation(internal.actions.insert, { list, n: "x" as any }),
      () => ctx.runQuery("actions:none" as any, {}),
      () => ctx.runQuery(internal.actions.insert as any, { list, n: 1 }),
    ]) {
      outcomes.push(
        await call().then(String, (error: any) =>
          error instanceof ConvexError ? { data: error.data } : error.message.split("\n")[0],
        ),
      );
    }
    return outcomes;
  },
});

export const throws = action({
  args: {},
  handler: async () => {
    await new Promise((done) => setTimeout(done, 1));
    throw new Error("from an action");
  },
});

export const convexError = action({
  args: {},
  handler: async () => {
    throw new ConvexError({ code: 7n });
  },
});

export const wrongResult = action({ args: {}, returns: v.string(), handler: async () => 1 as any });

export const whoami = action({ args: {}, handler: async (ctx) => await ctx.auth.getUserIdentity() });

export const dangling = action({
  args: { list },
  handler: async (ctx, { list }) => {
    void ctx.runMutation(internal.actions.insert, { list, n: 5 });
    void ctx.runQuery(internal.actions.count, { list });
    console.log("left", list);
  },
});

export const waits = action({
  args: { ms: v.number() },
  handler: async (ctx, { ms }) => {
    const before = Date.now();
    await new Promise((done) => setTimeout(done, ms));
    return Date.now() - before;
  },
});

export const environment = action({
  args: {},
  handler: async () => [process.env.GREETING ?? "unset", process.env.CONVEX_CLOUD_URL, crypto.randomUUID().length],
});

/** What a fetch gave: status, some headers, the body. */
export const fetches = action({
  args: { url: v.string(), init: v.optional(v.any()) },
  handler: async (ctx, { url, init }) => {
    try {
      const response = await fetch(url, init);
      const headers = Object.fromEntries([...response.headers].filter(([name]) => name.startsWith("x-")));
      return {
        status: response.status,
        statusText: response.statusText,
        url: response.url,
        redirected: response.redirected,
        headers,
        body: await response.text(),
      };
    } catch (error: any) {
      return { error: `${error.name}: ${error.message}` };
    }
  },
});

export const uploads = action({
  args: { url: v.string(), chunks: v.number() },
  handler: async (ctx, { url, chunks }) => {
    let sent = 0;
    const body = new ReadableStream({
      pull(controller) {
        if (sent === chunks) return controller.close();
        controller.enqueue(new TextEncoder().encode(`chunk ${sent};`.padEnd(1000)));
        sent += 1;
      },
    });
    const response = await fetch(url, { method: "POST", body, duplex: "half" } as any);
    let received = 0;
    const reader = response.body!.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      received += value.length;
    }
    return { sent, received };
  },
});

export const aborts = action({
  args: { url: v.string() },
  handler: async (ctx, { url }) => {
    const outcomes = [];
    for (const signal of [AbortSignal.timeout(20), AbortSignal.abort()]) {
      outcomes.push(await fetch(url, { signal }).then(String, (error) => `${error.name}: ${error.message}`));
    }
    return outcomes;
  },
});

export const publicCalls = action({
  args: { list },
  handler: async (ctx, { list }): Promise<any> => await ctx.runQuery(api.entries.last, { list }),
});

export const form = action({
  args: { url: v.string() },
  handler: async (ctx, { url }) => {
    const form = new FormData();
    form.append("name", "value");
    form.append("file", new Blob(["content"], { type: "text/plain" }), "a.txt");
    return await (await fetch(url, { method: "POST", body: form })).text();
  },
});
