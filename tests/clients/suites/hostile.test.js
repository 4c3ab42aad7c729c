import assert from "node:assert/strict";
import net from "node:net";

import { anyApi } from "convex/server";

import { harness } from "../lib/harness.js";
import { watch } from "../lib/watch.js";
import { ZERO } from "../lib/wire.js";

const t = harness();
const { list, send } = anyApi.messages;

/** Runs `body` and checks that a client that was there before is served on, on the same connection. */
function bystander(name, body) {
  t.check(name, async () => {
    const client = t.client();
    const channel = `bystander of ${name}`;
    const subscription = watch(client, list, { channel });
    await subscription.value("empty", (bodies) => bodies.length === 0);
    await body();
    await client.mutation(send, { channel, body: "still here" });
    await subscription.value("the message", (bodies) => bodies.length === 1);
    assert.equal(client.connectionState().connectionCount, 1, "the bystander had to reconnect");
  });
}

/** A deterministic mistake: FatalError, then a close frame without a code. */
async function isFatal(wire, pattern) {
  const { error } = await wire.nextOfType("FatalError");
  assert.match(error, pattern);
  assert.equal((await wire.end()).code, 1005);
}

for (const [name, frame] of Object.entries({
  "text that is not JSON": "this is not JSON",
  "an empty frame": "",
  "JSON that is no object": "[1, 2, 3]",
  "an object without a type": { hello: "there" },
  "an unknown type": { type: "Surprise" },
  "a missing field": { type: "Mutation", requestId: 0 },
  "a field of the wrong type": { type: "Mutation", requestId: "zero", udfPath: "a:b", args: [] },
  "a negative number": { type: "Mutation", requestId: -1, udfPath: "a:b", args: [] },
  "deep nesting": "[".repeat(100_000),
})) {
  bystander(`${name} is a FatalError`, async () => {
    const wire = await t.wire();
    wire.connect();
    wire.send(frame);
    await isFatal(wire, /./);
  });
}

bystander("a binary frame ends the connection", async () => {
  const wire = await t.wire();
  wire.connect();
  wire.send(Buffer.from([0, 1, 2, 3]));
  await wire.end();
});

bystander("a query set version out of order is a FatalError that names both", async () => {
  const wire = await t.wire();
  wire.connect();
  wire.modify(5, []);
  await isFatal(wire, /Base version 5 passed up doesn't match the current version 0/);
});

bystander("a query id added twice ends the connection", async () => {
  const wire = await t.wire();
  wire.connect();
  const add = { type: "Add", queryId: 0, udfPath: "messages:list", args: [{ channel: "x" }] };
  wire.modify(0, [add]);
  wire.modify(1, [add]);
  await wire.end();
});

bystander("functions that do not exist are answered, not punished", async () => {
  const wire = await t.wire();
  wire.connect();
  wire.modify(0, [
    { type: "Add", queryId: 0, udfPath: "nowhere:nothing", args: [{}] },
    { type: "Add", queryId: 1, udfPath: "not a path / at all:::", args: [{}] },
    { type: "Add", queryId: 2, udfPath: "messages:list", args: [{ channel: "fine" }] },
    { type: "Add", queryId: 3, udfPath: "_system/cli/tables", args: [{}] },
  ]);
  const { startVersion, modifications } = await wire.nextOfType("Transition");
  assert.deepEqual(startVersion, ZERO);
  const byId = Object.fromEntries(modifications.map((m) => [m.queryId, m]));
  assert.match(byId[0].errorMessage, /Could not find public function for 'nowhere:nothing'/);
  assert.equal(byId[1].type, "QueryFailed");
  assert.deepEqual(byId[2].value, []);
  assert.equal(byId[3].type, "QueryFailed");

  wire.send({ type: "Mutation", requestId: 0, udfPath: "nowhere:nothing", args: [{}] });
  const response = await wire.nextOfType("MutationResponse");
  assert.equal(response.success, false);
  assert.match(response.result, /Could not find public function/);
  assert.equal(wire.closed, undefined);
});

bystander("a wrong admin key is an AuthError", async () => {
  for (const value of [`${t.hull.instanceName}|01deadbeef`, "other|0123", "", "|", t.hull.adminKey.slice(0, -2) + "00"]) {
    const wire = await t.wire();
    wire.connect();
    wire.send({ type: "Authenticate", baseVersion: 0, tokenType: "Admin", value });
    const { baseVersion, authUpdateAttempted } = await wire.nextOfType("AuthError");
    assert.equal(baseVersion, 0);
    assert.equal(authUpdateAttempted, true);
    assert.equal((await wire.end()).code, 1005);
  }
});

bystander("a user token without any provider is an AuthError", async () => {
  const wire = await t.wire();
  wire.connect();
  wire.send({ type: "Authenticate", baseVersion: 0, tokenType: "User", value: "eyJhbGciOiJub25lIn0.e30." });
  await wire.nextOfType("AuthError");
  await wire.end();
});

bystander("the right admin key may read system functions", async () => {
  const wire = await t.wire();
  wire.connect();
  wire.send({ type: "Authenticate", baseVersion: 0, tokenType: "Admin", value: t.hull.adminKey });
  wire.modify(0, [{ type: "Add", queryId: 0, udfPath: "_system/cli/convexUrl:cloudUrl", args: [{}] }]);
  const { modifications } = await wire.next("the result", (m) => m.modifications?.length > 0);
  assert.equal(typeof modifications[0].value, "string");
});

bystander("a message of 65 MiB ends only its own connection", async () => {
  const wire = await t.wire();
  wire.connect();
  wire.send(JSON.stringify({ type: "Mutation", requestId: 0, udfPath: "a:b", args: [{ x: "y".repeat(65 << 20) }] }));
  await wire.end({ timeoutMs: 30_000 });
});

bystander("arguments past 16 MiB are refused by name", async () => {
  const wire = await t.wire();
  wire.connect();
  wire.send({
    type: "Mutation",
    requestId: 0,
    udfPath: "messages:send",
    args: [{ channel: "big", body: "y".repeat((16 << 20) + 1) }],
  });
  const response = await wire.nextOfType("MutationResponse");
  assert.equal(response.success, false);
  assert.match(response.result, /Arguments for messages\.js:send are too large \(actual: .*, limit: 16 MiB\)/);
});

bystander("a client ahead of the server is asked to come back", async () => {
  const wire = await t.wire();
  const future = Buffer.alloc(8);
  future.writeBigInt64LE(2n ** 63n - 1n);
  wire.connect({ maxObservedTimestamp: future.toString("base64") });
  assert.equal((await wire.end()).code, 1011);
});

bystander("a client too old to name itself properly is told so at the upgrade", async () => {
  await assert.rejects(t.wire("/api/not-a-version/sync"), /Unexpected server response: 400/);
});

bystander("half a request and garbage on the port hurt nobody", async () => {
  for (const bytes of ["\x16\x03\x01\x02\x00\x01", "GET / HT", "POST /api/query HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"]) {
    const socket = net.connect(t.hull.port, "127.0.0.1");
    socket.on("error", () => {});
    await new Promise((resolve) => socket.once("connect", resolve));
    socket.write(bytes);
    t.closing(() => socket.destroy());
  }
});

bystander("a hundred connections that say nothing do not stand in the way", async () => {
  await Promise.all(Array.from({ length: 100 }, () => t.wire()));
});
