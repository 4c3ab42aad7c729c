import { httpRouter } from "convex/server";
import { internal } from "./_generated/api";
import { httpAction } from "./_generated/server";

const http = httpRouter();

/** What the request looked like. */
const describe = httpAction(async (ctx, request) => {
  const body = request.body === null ? null : await request.text();
  const headers = [...request.headers].filter(([name]) => name.startsWith("x-"));
  return Response.json({ method: request.method, url: request.url, headers, body });
});
for (const method of ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] as const) {
  http.route({ path: "/describe", method, handler: describe });
}
http.route({ pathPrefix: "/files/", method: "GET", handler: describe });
http.route({
  pathPrefix: "/files/special/",
  method: "GET",
  handler: httpAction(async () => new Response("special")),
});

http.route({
  path: "/insert",
  method: "POST",
  handler: httpAction(async (ctx, request) => {
    const { list, n } = await request.json();
    await ctx.runMutation(internal.actions.insert, { list, n });
    const count = await ctx.runQuery(internal.actions.count, { list });
    return new Response(String(count), { status: 201, headers: { "X-Count": String(count) } });
  }),
});

http.route({
  path: "/headers",
  method: "GET",
  handler: httpAction(async () => {
    const headers = new Headers({ "X-Latin": "caf\u00e9", "Content-Type": "text/x-own" });
    headers.append("Set-Cookie", "a=1");
    headers.append("Set-Cookie", "b=2; Path=/");
    return new Response(new Uint8Array([0, 255, 1]), { status: 418, headers });
  }),
});
http.route({ path: "/nothing", method: "GET", handler: httpAction(async () => new Response(null, { status: 204 })) });
http.route({ path: "/away", method: "GET", handler: httpAction(async () => Response.redirect("https://example.com/", 307)) });

http.route({
  path: "/stream",
  method: "GET",
  handler: httpAction(async (ctx, request) => {
    const chunks = Number(new URL(request.url).searchParams.get("chunks"));
    let sent = 0;
    return new Response(
      new ReadableStream({
        async pull(controller) {
          if (sent === chunks) return controller.close();
          await new Promise((done) => setTimeout(done, 5));
          controller.enqueue(new TextEncoder().encode(`chunk ${sent}\n`));
          sent += 1;
        },
      }),
    );
  }),
});

http.route({
  path: "/transform",
  method: "POST",
  handler: httpAction(async (ctx, request) =>
    new Response(
      request.body!.pipeThrough(new TextDecoderStream()).pipeThrough(
        new TransformStream({ transform: (text, controller) => controller.enqueue(text.toUpperCase()) }),
      ).pipeThrough(new TextEncoderStream()),
    ),
  ),
});

/** Goes on after its client has gone away, and says that it has noticed. */
http.route({
  path: "/abandoned",
  method: "GET",
  handler: httpAction(async (ctx, request) => {
    const list = new URL(request.url).searchParams.get("list")!;
    await ctx.runMutation(internal.actions.insert, { list, n: 0 });
    await new Promise((done) => request.signal.addEventListener("abort", done));
    await ctx.runMutation(internal.actions.insert, { list, n: request.signal.aborted ? 1 : 2 });
    return new Response("nobody reads this");
  }),
});

http.route({
  path: "/throws",
  method: "GET",
  handler: httpAction(async () => {
    throw new Error("from an HTTP action");
  }),
});
http.route({ path: "/wrong", method: "GET", handler: httpAction(async () => "text" as any) });
http.route({
  path: "/late",
  method: "GET",
  handler: httpAction(async () => {
    let pulled = 0;
    return new Response(
      new ReadableStream({
        pull(controller) {
          if (pulled++ > 0) throw new Error("after the head");
          controller.enqueue(new TextEncoder().encode("begun"));
        },
      }),
    );
  }),
});
http.route({
  path: "/large",
  method: "GET",
  handler: httpAction(async () => {
    const chunk = new Uint8Array(1 << 20);
    let sent = 0;
    return new Response(
      new ReadableStream({ pull: (controller) => (sent++ < 25 ? controller.enqueue(chunk) : controller.close()) }),
    );
  }),
});
http.route({
  path: "/form",
  method: "POST",
  handler: httpAction(async (ctx, request) => {
    const form = await request.formData();
    const file = form.get("file") as unknown as File;
    return Response.json([form.get("name"), file.name, file.type, await file.text()]);
  }),
});
http.route({
  path: "/whoami",
  method: "GET",
  handler: httpAction(async (ctx) => {
    const said = await ctx.auth.getUserIdentity().then(JSON.stringify, (error) => `refused: ${error.message}`);
    return new Response(said);
  }),
});

export default http;
