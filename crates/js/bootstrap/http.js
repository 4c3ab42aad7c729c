// HTTP actions: the request as the library gets it, the response as it goes out.

const { shared } = native;

/** Bodies of responses by the numbers the library passes on. */
const bodies = new Map();

function onlyInHttpActions(what) {
  if (native.phase() !== "httpAction") throw new Error(`${what} needs an HTTP action`);
}

shared.requestFromConvexJson = ({ convexJson: { url, method, headerPairs, streamId, signal } }) => {
  onlyInHttpActions("A request");
  const controller = new AbortController();
  if (signal !== null) {
    native.startOp("httpAborted", () => controller.abort(), () => {});
  }
  const init = { method, headers: headerPairs, signal: controller.signal };
  if (streamId !== null) init.body = shared.hostStream(streamId, undefined);
  return new Request(url, init);
};

shared.convexJsonFromResponse = ({ response }) => {
  onlyInHttpActions("A response");
  if (!shared.isResponse(response)) throw new Error("HTTP actions must return a Response");
  const body = shared.responseBody(response);
  if (shared.isUnusable(body)) throw new TypeError("HTTP actions must return a Response whose body was not read");
  let streamId = null;
  if (body !== null) {
    streamId = String(bodies.size + 1);
    bodies.set(streamId, shared.takeBody(body));
  }
  return { status: response.status, headerPairs: shared.headerPairs(response.headers), streamId, url: response.url };
};

/** Sends a body, until it ends or the client has gone away. */
async function send(body) {
  const sent = (chunk) => shared.operation(undefined, "httpBody", shared.view(chunk, "body")).then(() => true, () => false);
  if (body.stream === null) {
    if (body.bytes.byteLength > 0) await sent(body.bytes);
    return;
  }
  const reader = body.stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const chunk = typeof value === "string" ? shared.encode(value) : value;
    if (!(await sent(chunk))) {
      await reader.cancel(new DOMException("The client has gone away", "AbortError"));
      return;
    }
  }
}

/** Runs a request through the router of `http.js`; what it gives says nothing: the response goes out by itself. */
native.runHttp = async (router, requestText, path, method) => {
  if (typeof router?.lookup !== "function" || typeof router.runRequest !== "function") {
    throw new Error("The default export of `convex/http.js` is not a Router.");
  }
  if (!router.lookup(path, method)) return "null";
  const { status, headerPairs, streamId } = JSON.parse(await router.runRequest(requestText, path));
  await shared.operation(undefined, "httpHead", status, headerPairs);
  if (streamId !== null) await send(bodies.get(streamId));
  return "null";
};
