import assert from "node:assert/strict";

import { anyApi } from "convex/server";

import { harness } from "../lib/harness.js";
import { until } from "../lib/until.js";
import { watch } from "../lib/watch.js";

const t = harness();
const { add, inOrder, last } = anyApi.entries;
const { list, send } = anyApi.messages;

for (const [name, end] of [
  ["SIGTERM", () => t.hull.stop()],
  ["kill -9", () => t.hull.kill()],
]) {
  t.check(`clients recover by themselves from ${name}`, async () => {
    const channel = name;
    const client = t.client();
    const subscription = watch(client, list, { channel });
    await client.mutation(send, { channel, body: "before" });

    await end();
    await until("the client to notice", () => !client.connectionState().isWebSocketConnected);
    const offline = client.mutation(send, { channel, body: "while away" });
    await t.hull.restart();

    await offline;
    await subscription.value("both messages", (bodies) => bodies.length === 2);
    await t.http().mutation(send, { channel, body: "after" });
    const bodies = await subscription.value("all messages", (bodies) => bodies.length === 3);
    assert.deepEqual(bodies, ["before", "while away", "after"]);
  });
}

t.check("kill -9 amid 1,000 mutations loses none that was acknowledged and repeats none", async () => {
  const total = 1000;
  const kills = 3;
  const client = t.client();
  const subscription = watch(client, last, { list: "killed" });
  const acknowledged = new Set();
  const lostAtRestart = [];

  const all = [];
  let sent = 0;
  const sendNext = async () => {
    while (sent < total) {
      const n = sent;
      sent += 1;
      await client.mutation(add, { list: "killed", n });
      acknowledged.add(n);
    }
  };
  // Twenty at a time, so that every kill finds some in flight.
  for (let i = 0; i < 20; i += 1) all.push(sendNext());

  for (let kill = 1; kill <= kills; kill += 1) {
    await until(
      `${(kill * total) / (kills + 1)} acknowledged`,
      () => acknowledged.size >= (kill * total) / (kills + 1),
      { everyMs: 1, timeoutMs: 60_000 },
    );
    await t.hull.kill();
    const promised = [...acknowledged];
    await t.hull.restart();
    // Everything acknowledged before the kill is there, whatever was resent.
    const stored = new Set(await t.http().query(inOrder, { list: "killed" }));
    lostAtRestart.push(...promised.filter((n) => !stored.has(n)));
  }
  await Promise.all(all);

  assert.deepEqual(lostAtRestart, []);
  assert.equal(acknowledged.size, total);
  const stored = await t.http().query(inOrder, { list: "killed" });
  assert.deepEqual([...stored].sort((a, b) => a - b), Array.from({ length: total }, (_, n) => n));
  await subscription.value("the last one", (n) => n === total - 1);
}, { timeoutMs: 120_000 });

t.check("an HTTP mutation acknowledged just before kill -9 is kept", async () => {
  for (let round = 0; round < 5; round += 1) {
    await t.http().mutation(add, { list: "http", n: round });
    await t.hull.kill();
    await t.hull.restart();
    assert.deepEqual(
      await t.http().query(inOrder, { list: "http" }),
      Array.from({ length: round + 1 }, (_, n) => n),
    );
  }
});

t.check("commit timestamps never go back over a restart", async () => {
  const stamp = async () => {
    const { json } = await t.hull.post("/api/query_ts", "");
    return Buffer.from(json.ts, "base64").readBigUInt64LE();
  };
  await t.http().mutation(add, { list: "time", n: 0 });
  const before = await stamp();
  await t.hull.kill();
  await t.hull.restart();
  assert.ok((await stamp()) >= before);
  await t.http().mutation(add, { list: "time", n: 1 });
  assert.ok((await stamp()) > before);
});
