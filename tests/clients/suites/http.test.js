import assert from "node:assert/strict";

import { harness } from "../lib/harness.js";

const t = harness();
const query = (body, headers) => t.hull.post("/api/query", body, headers);
const echo = { path: "values:echo", args: { value: 1 } };

t.check("the unauthenticated probes answer", async () => {
  const text = async (route) => (await fetch(t.hull.url + route)).text();
  assert.equal(await text("/instance_name"), t.hull.instanceName);
  assert.match(await text("/"), /This Convex deployment is running/);
  assert.ok((await text("/version")).length > 0);
  assert.equal(await text("/instance_version"), await text("/version"));
  const echoed = await t.hull.post("/echo", "x".repeat(128));
  assert.equal(echoed.text, "x".repeat(128));
});

t.check("a call by path, by array and by GET are the same call", async () => {
  const expected = { status: "success", value: 1 };
  assert.deepEqual((await query(echo)).json, expected);
  assert.deepEqual((await query({ ...echo, args: [echo.args] })).json, expected);
  assert.deepEqual((await t.hull.post("/api/run/values/echo", { args: { value: 1 } })).json, expected);
  const got = await fetch(`${t.hull.url}/api/query?path=values:echo&args=${encodeURIComponent('{"value":1}')}`);
  assert.deepEqual(await got.json(), expected);
});

t.check("console lines come along", async () => {
  const { json } = await query({ path: "settings:logged", args: { word: "ahoy" } });
  assert.equal(json.value, "ahoy");
  assert.deepEqual(json.logLines, ["[LOG] 'said' 'ahoy' {\n  n: 1\n}", "[WARN] 'careful'"]);
});

t.check("the caller's request id is used", async () => {
  const { json } = await query({ path: "errors:plainError", args: {} }, { "convex-request-id": "0123456789abcdef" });
  assert.equal(json.status, "error");
  assert.match(json.errorMessage, /^\[Request ID: 0123456789abcdef\] Server Error\nUncaught TypeError: boom/);
});

for (const [name, send, status, code] of [
  ["malformed JSON", () => query("{"), 400, "BadJsonBody"],
  ["another content type", () => query(echo, { "Content-Type": "text/plain" }), 400, "BadJsonBody"],
  ["a missing path", () => query({ args: {} }), 400, "BadJsonBody"],
  ["an unknown format", () => query({ ...echo, format: "xml" }), 400, "BadFormat"],
  ["a path that is none", () => query({ path: "a b/..:c", args: {} }), 400, "BadConvexFunctionIdentifier"],
  ["a body past the limit", () => query({ ...echo, args: { value: "x".repeat(17 << 20) } }), 400, "BadJsonBody"],
  ["a short authorization header", () => query(echo, { Authorization: "x" }), 400, "InvalidHeaderFailure"],
  ["another authorization scheme", () => query(echo, { Authorization: "Digest abcdef" }), 400, "InvalidAdminKey"],
  ["a wrong admin key", () => query(echo, { Authorization: "Convex other|0123456789" }), 401, "BadAdminKey"],
  ["an admin route without a key", () => t.hull.post("/api/function", echo), 403, "BadDeployKey"],
  ["a push without a key", () => t.hull.post("/api/get_config_hashes", { version: "1.48.0", adminKey: "x|01" }), 401, "BadAdminKey"],
  ["a system function for everybody", () => query({ path: "_system/cli/tables", args: {} }), 403, "SystemIdentityRequired"],
]) {
  t.check(`${name} is ${status} ${code}`, async () => {
    const response = await send();
    assert.equal(response.status, status, response.text);
    assert.equal(response.json?.code, code, response.text);
    assert.ok(response.json.message.length > 0);
  });
}

t.check("an unknown route is 404", async () => {
  assert.equal((await fetch(`${t.hull.url}/api/no_such_route`)).status, 404);
});

t.check("the admin may call internal functions, others may not", async () => {
  const call = { path: "errors:secretQuery", args: {} };
  assert.equal((await query(call)).json.status, "error");
  const { json } = await t.hull.post("/api/function", call, t.hull.adminHeader);
  assert.deepEqual(json, { status: "success", value: "secret" });
  const missing = await t.hull.post("/api/function", { path: "no:no", args: {} }, t.hull.adminHeader);
  assert.match(missing.json.errorMessage, /Could not find function for 'no:no'\. Did you forget to run `npx convex dev`\?/);
});

t.check("a query at a past timestamp sees the past", async () => {
  const send = (body) => t.hull.post("/api/mutation", { path: "messages:send", args: { channel: "past", body } });
  await send("one");
  const { json } = await t.hull.post("/api/query_ts", "");
  await send("two");
  const past = await t.hull.post("/api/query_at_ts", { path: "messages:list", args: { channel: "past" }, ts: json.ts });
  assert.deepEqual(past.json.value, ["one"]);
  const now = await query({ path: "messages:list", args: { channel: "past" } });
  assert.deepEqual(now.json.value, ["one", "two"]);
});

t.check("browsers of other origins may call", async () => {
  const origin = "https://app.example";
  const preflight = await fetch(`${t.hull.url}/api/query`, {
    method: "OPTIONS",
    headers: {
      Origin: origin,
      "Access-Control-Request-Method": "POST",
      "Access-Control-Request-Headers": "content-type,convex-client",
    },
  });
  assert.equal(preflight.status, 200);
  assert.equal(preflight.headers.get("access-control-allow-origin"), origin);
  assert.equal(preflight.headers.get("access-control-allow-credentials"), "true");
  assert.equal(preflight.headers.get("access-control-allow-headers"), "content-type,convex-client");
  const { headers } = await query("{", { Origin: origin });
  assert.equal(headers.get("access-control-allow-origin"), origin);
});
