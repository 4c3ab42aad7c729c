import { httpActionGeneric as httpAction, httpRouter } from "convex/server";

const http = httpRouter();
http.route({ pathPrefix: "/", method: "GET", handler: httpAction(async (_, request) => new Response(`journal ${new URL(request.url).pathname}`)) });
export default http;
