import { v } from "convex/values";
import { actionGeneric as action, mutationGeneric as mutation, queryGeneric as query } from "convex/server";

const id = v.string();

export const uploadUrl = mutation({ args: {}, handler: async (ctx) => await ctx.storage.generateUploadUrl() });

export const url = query({ args: { id }, handler: async (ctx, { id }) => await ctx.storage.getUrl(id) });

export const urls = query({ args: { ids: v.array(id) }, handler: async (ctx, { ids }) => await Promise.all(ids.map((id) => ctx.storage.getUrl(id))) });

export const metadata = query({ args: { id }, handler: async (ctx, { id }) => await ctx.storage.getMetadata(id as any) });

export const document = query({ args: { id }, handler: async (ctx, { id }) => await ctx.db.system.get("_storage", id as any) });

export const count = query({ args: {}, handler: async (ctx) => (await ctx.db.system.query("_storage").collect()).length });

export const remove = mutation({ args: { id }, handler: async (ctx, { id }) => void (await ctx.storage.delete(id as any)) });

/** A mutation's own files: seen by itself at once, by others when it commits. */
export const storeInMutation = mutation({
  args: { text: v.string(), sha256: v.optional(v.string()), fail: v.optional(v.boolean()) },
  handler: async (ctx, { text, sha256, fail }) => {
    const id = await (ctx.storage as any).store(new Blob([text], { type: "text/x-test" }), { sha256 });
    const read = await (ctx.storage as any).get(id);
    if (fail) throw new Error(`failed after ${id}`);
    const metrics = await (ctx as any).meta.getTransactionMetrics();
    return { id, text: await read.text(), type: read.type, filesWritten: metrics.filesWritten.used, fileReadBytes: metrics.fileReadBytes.used };
  },
});

export const storeInAction = action({
  args: { bytes: v.number(), sha256: v.optional(v.string()) },
  handler: async (ctx, { bytes, sha256 }) => {
    const blob = new Blob([new Uint8Array(bytes).fill(7)], { type: "application/x-sevens" });
    const id = await ctx.storage.store(blob, { sha256 });
    const read = (await ctx.storage.get(id))!;
    const last = new Uint8Array(await read.slice(-1).arrayBuffer());
    return { id, size: read.size, type: read.type, last: last[0] ?? null, metadata: await ctx.storage.getMetadata(id), url: await ctx.storage.getUrl(id) };
  },
});

export const inAction = action({
  args: { id },
  handler: async (ctx, { id }) => {
    const uploadUrl = await ctx.storage.generateUploadUrl();
    const response = await fetch(uploadUrl, { method: "POST", body: "from an action" });
    const { storageId } = await response.json();
    const text = await (await ctx.storage.get(storageId))!.text();
    await ctx.storage.delete(storageId);
    return { text, gone: await ctx.storage.get(storageId), missing: await ctx.storage.getUrl(id) };
  },
});

export const tryAll = mutation({
  args: { id },
  handler: async (ctx, { id }) => {
    const texts = [];
    for (const call of [
      () => ctx.storage.getUrl(id),
      () => ctx.storage.getMetadata(id as any),
      () => ctx.storage.delete(id as any),
      () => (ctx.storage as any).get(id),
    ]) {
      texts.push(await call().then((value: unknown) => JSON.stringify(value ?? null), (error: Error) => error.message));
    }
    return texts;
  },
});

export const writeRow = mutation({ args: { id }, handler: async (ctx, { id }) => await ctx.db.delete(id as any) });


export const ids = query({ args: {}, handler: async (ctx) => (await ctx.db.system.query("_storage").collect()).map(({ _id }) => _id) });

export const userId = mutation({ args: {}, handler: async (ctx) => await ctx.db.insert("entries", { list: "files", n: 1 } as any) });
