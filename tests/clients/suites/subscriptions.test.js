import assert from "node:assert/strict";

import { anyApi } from "convex/server";

import { harness } from "../lib/harness.js";
import { Proxy } from "../lib/proxy.js";
import { watch } from "../lib/watch.js";

const t = harness();
const { list, count, send, sendMany, look, move } = anyApi.messages;

t.check("one client's insert reaches another client's subscription", async () => {
  const subscription = watch(t.client(), list, { channel: "reach" });
  await subscription.value("empty", (bodies) => bodies.length === 0);
  await t.client().mutation(send, { channel: "reach", body: "hello" });
  assert.deepEqual(await subscription.value("hello", (bodies) => bodies.length === 1), ["hello"]);
});

t.check("an awaited mutation has been seen by the client's own subscription", async () => {
  const client = t.client();
  const subscription = watch(client, list, { channel: "own" });
  await subscription.value("empty", (bodies) => bodies.length === 0);
  for (let n = 1; n <= 50; n += 1) {
    await client.mutation(send, { channel: "own", body: `${n}` });
    assert.equal(client.client.localQueryResult("messages:list", { channel: "own" }).length, n);
  }
});

t.check("1,000 mutations keep their order", async () => {
  const client = t.client();
  const acknowledged = [];
  const all = [];
  for (let n = 0; n < 1000; n += 1) {
    all.push(client.mutation(anyApi.entries.add, { list: "order", n }).then((n) => acknowledged.push(n)));
  }
  await Promise.all(all);
  const expected = Array.from({ length: 1000 }, (_, n) => n);
  assert.deepEqual(acknowledged, expected);
  assert.deepEqual(await client.query(anyApi.entries.inOrder, { list: "order" }), expected);
});

t.check("a mutation that writes nothing resolves", async () => {
  assert.equal(await t.client().mutation(look, { channel: "nothing here" }), null);
});

t.check("a client never sees half of a mutation", async () => {
  const writer = t.client();
  await writer.mutation(sendMany, { channel: "left", from: 0, to: 10 });
  const reader = t.client();
  const sums = [];
  const current = {};
  for (const channel of ["left", "right"]) {
    reader.onUpdate(count, { channel }, (value) => (current[channel] = value));
  }
  // Runs once per transition, after all of its results are in place.
  reader.client.addOnTransitionHandler(() => {
    const left = reader.client.localQueryResult("messages:count", { channel: "left" });
    const right = reader.client.localQueryResult("messages:count", { channel: "right" });
    if (left !== undefined && right !== undefined) sums.push(left + right);
  });
  for (let n = 0; n < 10; n += 1) await writer.mutation(move, { from: "left", to: "right" });
  const right = watch(reader, count, { channel: "right" });
  await right.value("all moved", (value) => value === 10);
  assert.ok(sums.length > 0, "the client reported no transition");
  assert.deepEqual(new Set(sums), new Set([10]));
});

t.check("unrelated writes send nothing", async () => {
  const wire = await t.wire();
  wire.connect();
  wire.modify(0, [{ type: "Add", queryId: 0, udfPath: "messages:list", args: [{ channel: "quiet" }] }]);
  const first = await wire.nextOfType("Transition");
  assert.equal(first.modifications[0].type, "QueryUpdated");
  await t.client().mutation(send, { channel: "loud", body: "x" });
  await t.client().mutation(send, { channel: "quiet", body: "y" });
  const updated = await wire.next("the second result", (m) => m !== first && m.modifications?.length > 0);
  assert.deepEqual(updated.modifications[0].value, ["y"]);
  const between = wire.received.slice(1, wire.received.indexOf(updated));
  assert.deepEqual(between.flatMap((m) => m.modifications ?? []), []);
});

t.check("an ended subscription stays silent while others go on", async () => {
  const client = t.client();
  const ended = watch(client, list, { channel: "stop" });
  const kept = watch(client, count, { channel: "stop" });
  await ended.value("empty", (bodies) => bodies.length === 0);
  await kept.value("zero", (n) => n === 0);
  ended.unsubscribe();
  await client.mutation(send, { channel: "stop", body: "x" });
  await kept.value("one", (n) => n === 1);
  assert.equal(ended.seen.length, 1);
});

t.check("two subscribers of one query get the same updates", async () => {
  const watched = [t.client(), t.client(), t.client()].map((client) => watch(client, list, { channel: "shared" }));
  for (const subscription of watched) await subscription.value("empty", (bodies) => bodies.length === 0);
  const writer = t.client();
  for (let n = 0; n < 20; n += 1) await writer.mutation(send, { channel: "shared", body: `${n}` });
  for (const subscription of watched) {
    const bodies = await subscription.value("20 messages", (bodies) => bodies.length === 20);
    assert.deepEqual(bodies, Array.from({ length: 20 }, (_, n) => `${n}`));
    for (const [i, { value }] of subscription.seen.entries()) {
      assert.ok(i === 0 || value.length > subscription.seen[i - 1].value.length, "results went backwards");
    }
  }
});

t.check("a mutation whose answer was lost on the way is applied once", async () => {
  const proxy = await Proxy.start(t.hull.port);
  t.closing(() => proxy.close());
  const far = t.client({ url: proxy.url });
  const subscription = watch(far, list, { channel: "lost" });
  await subscription.value("empty", (bodies) => bodies.length === 0);

  proxy.hold();
  const sent = far.mutation(send, { channel: "lost", body: "once" });
  const near = watch(t.client(), list, { channel: "lost" });
  await near.value("the commit", (bodies) => bodies.length === 1);
  const before = proxy.connections;
  proxy.cut();

  assert.equal(typeof (await sent), "string");
  assert.ok(proxy.connections > before, "the client did not reconnect");
  await far.mutation(send, { channel: "lost", body: "after" });
  assert.deepEqual(await t.http().query(list, { channel: "lost" }), ["once", "after"]);
});

t.check("a result over 5 MB arrives whole, in chunks", async () => {
  const length = 6_000_000;
  const text = await t.client().query(anyApi.values.large, { length });
  assert.equal(text.length, length);

  const wire = await t.wire();
  wire.connect();
  wire.modify(0, [{ type: "Add", queryId: 0, udfPath: "values:large", args: [{ length }] }]);
  const part = await wire.nextOfType("TransitionChunk");
  assert.equal(part.partNumber, 0);
  assert.ok(part.totalParts >= 2);
});

t.check("a query that looks at the identity only at times stays live", async () => {
  const [writer, one, other] = [t.client(), t.client(), t.client()];
  const args = { channel: "identity at times" };
  const subscriptions = [one, other].map((client) => watch(client, anyApi.live.whoAtTimes, args));
  for (let count = 0; count <= 6; count += 1) {
    if (count > 0) await writer.mutation(send, { ...args, body: `${count}` });
    const who = count % 2 === 1 ? "nobody" : "not asked";
    for (const subscription of subscriptions) {
      const seen = await subscription.value(`count ${count}`, (value) => value.count === count);
      assert.deepEqual(seen, { count, who });
    }
    assert.deepEqual(await t.http().query(anyApi.live.whoAtTimes, args), { count, who });
  }
});
