import { HttpRouterWithHono, type HonoWithConvex } from "convex-helpers/server/hono";
import { Hono } from "hono";
import { cors } from "hono/cors";

import { api } from "./_generated/api";
import type { ActionCtx } from "./_generated/server";

const app: HonoWithConvex<ActionCtx> = new Hono();
app.use("/api/*", cors());
app.get("/api/notes/:owner", async (c) => c.json(await c.env.runQuery(api.helpers.notesOf, { owner: c.req.param("owner") })));
app.post("/api/echo", async (c) => c.text(`${c.req.query("x")} ${await c.req.text()}`, 201, { "X-Y": "z" }));
app.notFound((c) => c.text("not here", 404));

export default new HttpRouterWithHono(app);
