import { defineSchema } from "convex/server";

// The tests write their own.
export default defineSchema({}, { schemaValidation: false });
