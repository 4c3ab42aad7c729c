import { defineComponent } from "convex/server";
import { v } from "convex/values";

import journal from "../journal/convex.config";

const component = defineComponent("counter", { env: { STEP: v.string(), LABEL: v.string(), NONE: v.optional(v.string()) } });
component.use(journal, { httpPrefix: "/journal/", env: { LABEL: component.env.LABEL } });
export default component;
