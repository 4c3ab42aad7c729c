import { httpActionGeneric as httpAction, httpRouter } from "convex/server";

const http = httpRouter();
const answer = (text: string) => httpAction(async (_, request) => new Response(`${text} ${new URL(request.url).pathname}`));
http.route({ path: "/exact", method: "GET", handler: answer("app exact") });
http.route({ path: "/counter/exact", method: "GET", handler: answer("app exact") });
http.route({ pathPrefix: "/counter/deep/", method: "GET", handler: answer("app prefix") });
export default http;
