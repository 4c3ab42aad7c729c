import { defineApp } from "convex/server";
import { v } from "convex/values";

import counter from "../counter/convex.config";

const app = defineApp({ env: { STEP: v.string(), NOTE: v.optional(v.string()) } });
app.use(counter, { httpPrefix: "/counter/", env: { STEP: app.env.STEP, LABEL: "first" } });
app.use(counter, { name: "second", env: { STEP: "10", LABEL: "second" } });

export default app;
