import { v } from "convex/values";
import { query } from "./_generated/server";

export const greeting = query({
  args: {},
  handler: async () => process.env.GREETING ?? "nothing set",
});

export const logged = query({
  args: { word: v.string() },
  handler: async (_ctx, { word }) => {
    console.log("said", word, { n: 1 });
    console.warn("careful");
    return word;
  },
});
