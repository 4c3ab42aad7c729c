import { query } from "./_generated/server";

/** Edited by the tests while clients watch. */
export const version = query({ args: {}, handler: async () => "first" });
