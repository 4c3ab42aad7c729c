import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { text } from "node:stream/consumers";
import zlib from "node:zlib";

import { anyApi } from "convex/server";
import { ConvexError } from "convex/values";

import { harness } from "../lib/harness.js";

const t = harness();
const {
  aborts, catches, convexError, dangling, environment, fetches, form, insert, publicCalls, readsItsWrites, throws, uploads, values, waits,
  whoami, wrongResult,
} = anyApi.actions;

t.check("an action reads what it has written, over both transports", async () => {
  assert.deepEqual(await t.client().action(readsItsWrites, { list: "socket" }), [0, 1, 21]);
  assert.deepEqual(await t.http().action(readsItsWrites, { list: "http" }), [0, 1, 21]);
  assert.equal(await t.http().action(publicCalls, { list: "http" }), 19);
});

t.check("actions call actions, and values of all types come through", async () => {
  for (const value of [null, true, 1.5, NaN, -0, 7n, "text", "", [1n, { a: null }], new Uint8Array([1, 2]).buffer, { nested: { deep: [""] } }]) {
    assert.deepEqual(await t.client().action(values, { value }), value);
  }
});

t.check("errors of what an action calls can be caught, with their data", async () => {
  const outcomes = await t.client().action(catches, { list: "catches" });
  assert.deepEqual(outcomes[0], { data: { refused: -1 } });
  assert.match(outcomes[1], /^ArgumentValidationError: Value does not match validator\./);
  assert.match(outcomes[2], /Could not find public function for 'actions:none'\./);
  assert.match(outcomes[3], /Trying to execute actions\.js:insert as Query, but it is defined as Mutation\./);
});

t.check("an action that fails says why and where", async () => {
  await assert.rejects(t.client().action(throws, {}), /Uncaught Error: from an action\n +at handler \(\.\.\/convex\/actions\.ts:\d+:\d+\)/);
  await assert.rejects(t.client().action(wrongResult, {}), /ReturnsValidationError: Value does not match validator\./);
  const error = await t.client().action(convexError, {}).catch((error) => error);
  assert.ok(error instanceof ConvexError);
  assert.deepEqual(error.data, { code: 7n });
  // Internal functions, and those of another kind.
  await assert.rejects(t.client().action(insert, { list: "x", n: 1 }), /Could not find public function for 'actions:insert'/);
  await assert.rejects(t.client().action(anyApi.entries.add, { list: "x", n: 1 }), /Trying to execute entries\.js:add as Action, but it is defined as Mutation\./);
  assert.equal(await t.client().action(whoami, {}), null);
});

t.check("calls that nobody waits for are named in the log", async () => {
  const lines = [];
  const logger = Object.fromEntries(["log", "warn", "error", "logVerbose"].map((name) => [name, (...args) => lines.push(args.join(" "))]));
  await t.client({ logger }).action(dangling, { list: "dangling" });
  const all = lines.join("\n");
  assert.match(all, /'left' 'dangling'/);
  assert.match(all, /2 unawaited operations: \[mutation, query\]\. Async operations should be awaited/);
});

t.check("many actions wait at the same time", async () => {
  const client = t.client();
  const started = Date.now();
  const waited = await Promise.all(Array.from({ length: 200 }, () => client.action(waits, { ms: 1_500 })));
  assert.ok(waited.every((ms) => ms >= 1_499), String(Math.min(...waited)));
  // One after the other they would take five minutes.
  assert.ok(Date.now() - started < 60_000);
});

t.check("process.env and randomness in an action", async () => {
  const [greeting, url, length] = await t.client().action(environment, {});
  assert.deepEqual([greeting, url, length], ["unset", t.hull.url, 36]);
});

/** A server that answers by path. */
async function server() {
  const handlers = {
    "/echo": async (request, response) => {
      response.setHeader("x-method", request.method).setHeader("x-agent", request.headers["user-agent"]);
      response.setHeader("x-type", request.headers["content-type"] ?? "none");
      response.end(await text(request));
    },
    "/created": (request, response) => response.writeHead(201).end("made"),
    "/empty": (request, response) => response.writeHead(204).end(),
    "/away": (request, response) => response.writeHead(302, { location: "/echo" }).end(),
    "/keep": (request, response) => response.writeHead(307, { location: "/echo" }).end(),
    "/loop": (request, response) => response.writeHead(302, { location: "/loop" }).end(),
    "/gzip": (request, response) =>
      response.writeHead(200, { "content-encoding": "gzip" }).end(zlib.gzipSync("compressed ".repeat(100))),
    "/pipe": (request, response) => request.pipe(response),
    "/cut": (request, response) => {
      response.writeHead(200, { "content-length": "100" }).write("half");
      setImmediate(() => request.socket.destroy());
    },
    "/hangs": () => {},
  };
  const server = http.createServer((request, response) => handlers[request.url](request, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.closing(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${server.address().port}`;
}

t.check("fetch sends requests and reads responses", async () => {
  const base = await server();
  const ask = (path, init) => t.client().action(fetches, { url: base + path, init });
  assert.deepEqual(await ask("/echo"), {
    status: 200, statusText: "OK", url: `${base}/echo`, redirected: false, body: "",
    headers: { "x-method": "GET", "x-agent": "Convex/1.0", "x-type": "none" },
  });
  const posted = await ask("/echo", { method: "post", body: "é", headers: { "User-Agent": "mine", "Content-Type": "text/x" } });
  assert.deepEqual([posted.body, posted.headers], ["é", { "x-method": "POST", "x-agent": "mine", "x-type": "text/x" }]);
  const created = await ask("/created");
  assert.deepEqual([created.status, created.statusText, created.body], [201, "Created", "made"]);
  assert.deepEqual([(await ask("/empty")).status, (await ask("/empty")).body], [204, ""]);
  assert.equal((await ask("/gzip")).body, "compressed ".repeat(100));
});

t.check("fetch follows redirects as it is told", async () => {
  const base = await server();
  const ask = (path, init) => t.client().action(fetches, { url: base + path, init });
  const followed = await ask("/away", { method: "POST", body: "gone" });
  assert.deepEqual([followed.url, followed.redirected, followed.body, followed.headers["x-method"]], [`${base}/echo`, true, "", "GET"]);
  const kept = await ask("/keep", { method: "POST", body: "kept" });
  assert.deepEqual([kept.body, kept.headers["x-method"]], ["kept", "POST"]);
  assert.equal((await ask("/away", { redirect: "manual" })).status, 302);
  assert.match((await ask("/away", { redirect: "error" })).error, /fetch attempted redirect/);
  assert.match((await ask("/loop")).error, /fetch too many redirects/);
});

t.check("fetch fails with what went wrong", async () => {
  const base = await server();
  const ask = (url) => t.client().action(fetches, { url });
  const { port } = new URL(base);
  assert.match((await ask(`${base}/cut`)).error, /^Error: /);
  assert.match((await ask("ftp://example.com")).error, /Unsupported URL scheme -- http and https are supported \(scheme was ftp\)/);
  assert.match((await ask(`https://127.0.0.1:${port}/`)).error, /^Error: /);
  assert.deepEqual(await t.client().action(aborts, { url: `${base}/hangs` }), [
    "TimeoutError: The operation timed out.",
    "AbortError: The signal has been aborted",
  ]);
});

t.check("bodies are streamed in both directions", async () => {
  const base = await server();
  assert.deepEqual(await t.client().action(uploads, { url: `${base}/pipe`, chunks: 500 }), { sent: 500, received: 500_000 });
  const sent = await t.client().action(form, { url: `${base}/echo` });
  assert.match(sent, /name="name"\r\n\r\nvalue\r\n/);
  assert.match(sent, /name="file"; filename="a\.txt"\r\nContent-Type: text\/plain\r\n\r\ncontent\r\n/i);
});
