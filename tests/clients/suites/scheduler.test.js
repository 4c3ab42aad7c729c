import assert from "node:assert/strict";

import { anyApi } from "convex/server";

import { harness } from "../lib/harness.js";
import { until } from "../lib/until.js";
import { watch } from "../lib/watch.js";

const t = harness();
const { abandoned, any, at, byAction, cancel, job, later, metrics, states } = anyApi.scheduled;
const { inOrder } = anyApi.entries;

const list = (name) => t.http().query(inOrder, { list: name });
const stateOf = async (id) => (await t.http().query(job, { id })).state;

t.check("functions run when they are due, in that order", async () => {
  const entries = watch(t.client(), inOrder, { list: "later" });
  const ids = await t.client().mutation(later, { list: "later", delays: [600, 0, 300, 0] });
  await entries.value("all four", (all) => all.length === 4);
  const all = entries.last.value;
  assert.deepEqual([all.slice(0, 2).sort(), all.slice(2)], [[1, 3], [2, 0]]);
  const done = await t.http().query(job, { id: ids[0] });
  assert.deepEqual([done.name, done.args, done.state], ["scheduled.js:record", [{ list: "later", n: 0 }], { kind: "success" }]);
  assert.ok(done.completedTime >= done.scheduledTime && done.scheduledTime >= done._creationTime);
});

t.check("times in the past are now, and far ones are refused", async () => {
  await t.http().mutation(at, { list: "at", times: [Date.now() - 60_000, Date.now()] });
  await until("both", async () => (await list("at")).length === 2);
  const year = 366 * 24 * 3_600_000;
  await assert.rejects(t.http().mutation(at, { list: "at", times: [Date.now() + 6 * year] }), /Uncaught Error/);
  const named = (name) => t.http().mutation(any, { name, args: {}, delay: 0 });
  await assert.rejects(named("none:at"), /Attempted to schedule function at nonexistent path: none\.js/);
  await assert.rejects(
    named("scheduled:none"),
    /Attempted to schedule function, but no exported function none found in the file: scheduled\.js\. Did you forget to export it\?/,
  );
});

t.check("what a failed mutation schedules is not scheduled", async () => {
  const before = await t.http().query(states, {});
  await assert.rejects(t.http().mutation(abandoned, { list: "abandoned" }), /nothing is scheduled/);
  assert.deepEqual(await t.http().query(states, {}), before);
});

t.check("failures are kept with their text, and leave nothing else", async () => {
  const fail = await t.http().mutation(any, { name: "scheduled:fails", args: { list: "fails" }, delay: 0 });
  const wrong = await t.http().mutation(any, { name: "scheduled:record", args: { list: 5 }, delay: 0 });
  const query = await t.http().mutation(any, { name: "scheduled:publicQuery", args: {}, delay: 0 });
  for (const [id, text] of [
    [fail, /^Uncaught Error: scheduled and failed\n/],
    [wrong, /^ArgumentValidationError: /],
    [query, /^Unsupported function type\. /],
  ]) {
    await until("a failure", async () => (await stateOf(id)).kind === "failed");
    assert.match((await stateOf(id)).error, text);
  }
  assert.deepEqual(await list("fails"), []);
});

t.check("actions are scheduled and schedule, and cancel", async () => {
  const [first, canceled] = await t.client().action(byAction, { list: "action" });
  await until("both", async () => (await list("action")).length === 2);
  assert.deepEqual((await list("action")).sort(), [1, 2]);
  assert.equal((await stateOf(first)).kind, "success");
  assert.equal((await stateOf(canceled)).kind, "canceled");
});

t.check("a canceled function does not run, and one that has ended stays as it is", async () => {
  const [id] = await t.http().mutation(later, { list: "canceled", delays: [300] });
  assert.equal((await stateOf(id)).kind, "pending");
  await t.http().mutation(cancel, { id });
  const [after] = await t.http().mutation(later, { list: "after", delays: [400] });
  await until("the one after", async () => (await stateOf(after)).kind === "success");
  assert.deepEqual([(await stateOf(id)).kind, await list("canceled")], ["canceled", []]);
  await t.http().mutation(cancel, { id: after });
  assert.equal((await stateOf(after)).kind, "success");
  await assert.rejects(t.http().mutation(cancel, { id: "j57000820c20a1g7104gm2rc1m70ynr8" }), /ArgumentValidationError|Invalid scheduled function ID/);
});

t.check("each schedules the next", async () => {
  await t.http().mutation(any, { name: "scheduled:chain", args: { list: "chain", left: 50 }, delay: 0 });
  await until("the last one", async () => (await list("chain")).length === 51);
});

t.check("a thousand functions of one mutation, and not one more", async () => {
  assert.deepEqual(await t.http().mutation(metrics, { list: "many", count: 1_000 }), { used: 1_000, remaining: 0 });
  await assert.rejects(
    t.http().mutation(metrics, { list: "many", count: 1_001 }),
    /Too many functions scheduled by this mutation \(limit: 1000\)/,
  );
});

t.check("mutations run exactly once across kill -9, actions at most once", async () => {
  const total = 400;
  await t.http().mutation(later, { list: "killed", delays: Array(total).fill(0) });
  const action = await t.http().mutation(any, { name: "scheduled:waits", args: { list: "interrupted", ms: 60_000 }, delay: 0 });
  await until("the action to have begun", async () => (await list("interrupted")).length === 1);
  for (let kill = 1; kill <= 3; kill += 1) {
    await until(`${kill} in 4 to have run`, async () => (await list("killed")).length >= (kill * total) / 4);
    await t.hull.kill();
    await t.hull.restart();
  }
  await until("all to have run", async () => (await list("killed")).length >= total, { timeoutMs: 60_000 });
  const all = (await list("killed")).sort((a, b) => a - b);
  assert.deepEqual(all, Array.from({ length: total }, (_, n) => n));
  assert.deepEqual(await stateOf(action), { kind: "failed", error: "Transient error while executing action" });
  assert.deepEqual(await list("interrupted"), [1]);
});
