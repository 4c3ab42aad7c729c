import assert from "node:assert/strict";
import http from "node:http";

import { anyApi } from "convex/server";

import { harness } from "../lib/harness.js";
import { until } from "../lib/until.js";

const t = harness();
const site = (path, init) => fetch(t.hull.siteUrl + path, init);

t.check("requests come as they were sent, on both ports", async () => {
  for (const base of [t.hull.siteUrl, `${t.hull.url}/http`]) {
    const { host } = new URL(base);
    for (const method of ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]) {
      const body = ["GET", "OPTIONS"].includes(method) ? undefined : "sent é";
      const response = await fetch(`${base}/describe?a=1&b=%20`, { method, body, headers: { "X-Own": "caf\u00e9" } });
      assert.equal(response.status, 200);
      assert.deepEqual(await response.json(), {
        method, url: `http://${host}/describe?a=1&b=%20`, headers: [["x-own", "caf\u00e9"]], body: body ?? null,
      });
    }
  }
  const forwarded = await site("/describe", { headers: { "X-Forwarded-Proto": "https" } });
  assert.match((await forwarded.json()).url, /^https:/);
  const head = await site("/describe", { method: "HEAD" });
  assert.deepEqual([head.status, await head.text()], [200, ""]);
  assert.equal(head.headers.get("content-type"), "application/json");
});

t.check("routes are exact or the longest prefix", async () => {
  const say = async (path, init) => {
    const response = await site(path, init);
    return [response.status, await response.text()];
  };
  assert.deepEqual(await say("/none"), [404, "No matching routes found"]);
  assert.deepEqual(await say("/describe/"), [404, "No matching routes found"]);
  assert.deepEqual(await say("/insert"), [404, "No matching routes found"]);
  assert.deepEqual(await say("/files/special/x"), [200, "special"]);
  assert.equal((await say("/files/other"))[0], 200);
  assert.equal((await say("/describe", { method: "PROPFIND" }))[0], 405);
});

t.check("an HTTP action calls functions, and errors are JSON", async () => {
  for (const n of [1, 2]) {
    const response = await site("/insert", { method: "POST", body: JSON.stringify({ list: "http", n }) });
    assert.deepEqual([response.status, response.headers.get("x-count"), await response.text()], [201, String(n), String(n)]);
  }
  const failed = await site("/throws");
  assert.equal(failed.status, 500);
  const { code, trace } = await failed.json();
  assert.match(code, /^\[Request ID: [0-9a-f]{16}\] Server Error: Uncaught Error: from an HTTP action/);
  assert.match(trace, /^Uncaught Error: from an HTTP action\n +at <anonymous> \(\.\.\/convex\/http\.ts:\d+:\d+\)/);
  const refused = await site("/insert", { method: "POST", body: JSON.stringify({ list: "http", n: -1 }) });
  assert.deepEqual((await refused.json()).data, { refused: -1 });
  assert.match((await (await site("/wrong")).json()).code, /HTTP actions must return a Response/);
});

t.check("status, headers and bytes of a response come through", async () => {
  const response = await site("/headers");
  assert.equal(response.status, 418);
  assert.deepEqual([...new Uint8Array(await response.arrayBuffer())], [0, 255, 1]);
  assert.deepEqual(response.headers.getSetCookie(), ["a=1", "b=2; Path=/"]);
  assert.deepEqual([response.headers.get("x-latin"), response.headers.get("content-type")], ["caf\u00e9", "text/x-own"]);
  assert.equal(response.headers.get("access-control-allow-origin"), null);
  assert.equal((await site("/nothing")).status, 204);
  const away = await site("/away", { redirect: "manual" });
  assert.deepEqual([away.status, away.headers.get("location")], [307, "https://example.com/"]);
});

t.check("responses are streamed while they are made, and so are requests", async () => {
  const response = await site("/stream?chunks=20");
  const pieces = [];
  for await (const piece of response.body) pieces.push(Buffer.from(piece).toString());
  assert.ok(pieces.length > 5, `${pieces.length} pieces`);
  assert.equal(pieces.join(""), Array.from({ length: 20 }, (_, n) => `chunk ${n}\n`).join(""));

  // The first piece comes back before the second is sent.
  const answered = await new Promise((resolve, reject) => {
    const request = http.request(`${t.hull.siteUrl}/transform`, { method: "POST" }, (response) => {
      const seen = [];
      response.on("data", (data) => {
        seen.push(data.toString());
        if (seen.length === 1) request.end("second é");
      });
      response.on("end", () => resolve(seen));
    });
    request.on("error", reject);
    request.write("first ");
  });
  assert.deepEqual(answered, ["FIRST ", "SECOND É"]);
});

t.check("an action goes on when its client has gone away, and is told", async () => {
  const count = () => t.http().query(anyApi.entries.inOrder, { list: "abandoned" });
  const controller = new AbortController();
  const abandoned = site("/abandoned?list=abandoned", { signal: controller.signal }).catch((error) => error.name);
  await until("the action to have begun", async () => (await count()).length === 1);
  controller.abort();
  assert.equal(await abandoned, "AbortError");
  await until("the action to have ended", async () => (await count()).length === 2);
  assert.deepEqual(await count(), [0, 1]);
});

t.check("a body that fails is cut, and one that is too large as well", async () => {
  const late = await site("/late");
  assert.equal(late.status, 200);
  await assert.rejects(late.text(), "the connection is cut");
  const large = await site("/large");
  const bytes = await large.arrayBuffer().then((buffer) => buffer.byteLength, () => 0);
  assert.ok(bytes === 20 << 20 || bytes === 0, `${bytes} bytes`);
  const response = await fetch(`${t.hull.url}/api/stream_function_logs?cursor=0`, { headers: t.hull.adminHeader });
  const { entries } = await response.json();
  const lines = entries.filter(({ identifier }) => identifier === "GET /large").flatMap(({ logLines }) => logLines);
  assert.match(JSON.stringify(lines), /HttpResponseTooLarge: HTTP actions support responses up to 20 MiB/);
  assert.ok(entries.some(({ udfType, error }) => udfType === "HttpAction" && /after the head/.test(error)));
});

t.check("forms are parsed", async () => {
  const form = new FormData();
  form.append("name", "value");
  form.append("file", new Blob(["content"], { type: "text/plain" }), "a.txt");
  const response = await site("/form", { method: "POST", body: form });
  assert.deepEqual(await response.json(), ["value", "a.txt", "text/plain", "content"]);
});

t.check("credentials that mean nothing here do not fail a request", async () => {
  const say = async (headers) => await (await site("/whoami", { headers })).text();
  assert.equal(await say({}), "null");
  assert.match(await say({ Authorization: "Bearer something.of.its.own" }), /^refused: /);
  assert.match(await say({ Authorization: "Basic eA==" }), /^(null|refused: )/);
});

t.check("without http.ts there are no HTTP actions", async () => {
  t.project.write("convex/http.ts", "export {};\n");
  const { code } = await t.project.convex(["deploy", "-y", "--typecheck", "disable"]);
  assert.equal(code, 1, "http.ts must export a router");
  const fs = await import("node:fs");
  fs.rmSync(t.project.file("convex/http.ts"));
  await t.project.deploy();
  const response = await site("/describe");
  assert.deepEqual([response.status, await response.text()], [404, "This Convex deployment does not have HTTP actions enabled."]);
});
