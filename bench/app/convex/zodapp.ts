import { queryGeneric as query } from "convex/server";
import { v } from "convex/values";
import { z } from "zod";

const schemas = Array.from({ length: 30 }, (_, i) =>
  z.object({
    id: z.string().min(1),
    name: z.string().max(100),
    age: z.number().int().min(0).optional(),
    email: z.email(),
    tags: z.array(z.string()).default([]),
    kind: z.enum(["a", "b", `k${i}`]),
    nested: z.object({ lat: z.number(), lng: z.number() }).nullable(),
  }),
);

// The schemas are reachable from the module, so that nothing drops them from the bundle.
export const noop = query({
  args: { salt: v.number() },
  handler: async (_, { salt }) => (salt < 0 ? schemas[0].safeParse(null).success : null),
});
