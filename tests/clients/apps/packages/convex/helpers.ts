import { customCtx, customMutation, customQuery } from "convex-helpers/server/customFunctions";
import { wrapDatabaseReader } from "convex-helpers/server/rowLevelSecurity";
import { Triggers } from "convex-helpers/server/triggers";
import { zCustomQuery } from "convex-helpers/server/zod4";
import { NoOp } from "convex-helpers/server/customFunctions";
import { v } from "convex/values";
import { z } from "zod";

import type { DataModel } from "./_generated/dataModel";
import { mutation, query } from "./_generated/server";

const triggers = new Triggers<DataModel>();
triggers.register("users", async (ctx, change) => {
  if (change.newDoc && change.newDoc.fullName === undefined) await ctx.db.patch(change.id, { fullName: `${change.newDoc.name} the First` });
  await ctx.db.insert("notes", { owner: "triggers", text: `${change.operation} ${(change.newDoc ?? change.oldDoc)!.name}` });
});
const triggered = customMutation(mutation, customCtx(triggers.wrapDB));

export const addUser = triggered({ args: { name: v.string() }, handler: async (ctx, { name }) => await ctx.db.get(await ctx.db.insert("users", { name })) });

const asOwner = customQuery(query, {
  args: { owner: v.string() },
  input: async (ctx, { owner }) => ({
    ctx: { db: wrapDatabaseReader<any, DataModel>({}, ctx.db, { notes: { read: async (_, note) => note.owner === owner } }), owner },
    args: {},
  }),
});

export const notesOf = asOwner({ args: {}, handler: async (ctx) => (await ctx.db.query("notes").collect()).map(({ text }) => text) });

export const addNote = mutation({ args: { owner: v.string(), text: v.string() }, handler: async (ctx, note) => void (await ctx.db.insert("notes", note)) });

const zQuery = zCustomQuery(query, NoOp);
export const zodArgs = zQuery({ args: { email: z.email(), n: z.number().min(3).default(4) }, handler: async (_, { email, n }) => `${email} ${n}` });
