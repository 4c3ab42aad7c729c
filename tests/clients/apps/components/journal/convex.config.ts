import { defineComponent } from "convex/server";
import { v } from "convex/values";

export default defineComponent("journal", { env: { LABEL: v.string() } });
