import { anyApi, httpActionGeneric as httpAction, httpRouter } from "convex/server";

const http = httpRouter();
http.route({
  path: "/exact",
  method: "GET",
  handler: httpAction(async (ctx, request) => {
    const count = await ctx.runQuery(anyApi.counts.get as any, { key: "http" });
    const user = await ctx.auth.getUserIdentity();
    return Response.json({ path: new URL(request.url).pathname, count, user });
  }),
});
export default http;
