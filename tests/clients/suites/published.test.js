// Components as they are published on npm, pushed by the CLI and used.

import assert from "node:assert/strict";

import { anyApi } from "convex/server";

import { harness } from "../lib/harness.js";
import { until } from "../lib/until.js";

const t = harness("published");
const { counter, events, flow, jobs, limits, retries, scores, work } = anyApi;

const noted = async (text) => (await t.http().query(events.all, {})).filter((event) => event === text).length;

t.check("rate-limiter lets through what it may", async () => {
  const http = t.http();
  const taken = [];
  for (let at = 0; at < 4; at++) taken.push(await http.mutation(limits.take, { key: "me" }));
  assert.deepEqual(taken.map(({ ok }) => ok), [true, true, true, false]);
  assert.ok(taken[3].retryAfter > 50_000 && taken[3].retryAfter <= 60_000, taken[3].retryAfter);
  assert.equal(await http.query(limits.peek, { key: "me" }), false);
  assert.equal(await http.query(limits.peek, { key: "you" }), true);
  const error = await http.mutation(limits.take, { key: "me", throws: true }).catch((error) => error);
  assert.equal(error.data.kind, "RateLimited");
  assert.equal(error.data.name, "message");
  assert.equal(await http.mutation(limits.takeSharded, { count: 10 }), true);
});

t.check("aggregate counts, sums and finds by order", async () => {
  const rows = Array.from({ length: 30 }, (_, n) => ({ player: n % 3 === 0 ? "ada" : "bob", score: n }));
  await t.http().mutation(scores.add, { rows });
  assert.deepEqual(await t.http().query(scores.statistics, { player: "ada" }), {
    count: 30,
    ofPlayer: 10,
    sum: 135,
    best: ["ada", 27],
    third: ["ada", 6],
  });
});

t.check("migrations change all documents in batches", async () => {
  await t.http().mutation(scores.startMigration, {});
  await until("all are graded", async () => (await t.http().query(scores.grades, {})).every(([, grade]) => grade !== null));
  for (const [score, grade] of await t.http().query(scores.grades, {})) assert.equal(grade, score >= 10 ? "high" : "low");
  // As people start them.
  const { output } = await t.project.mustConvex(["run", "scores:run", '{"fn":"scores:grade"}']);
  assert.match(output, /"?success|done|isDone/i);
});

t.check("sharded-counter adds up, also from many at once", async () => {
  await Promise.all(Array.from({ length: 20 }, (_, n) => t.http().mutation(counter.add, { n: n + 1 })));
  assert.equal(await t.http().query(counter.count, {}), 210);
});

t.check("action-retrier runs an action until it succeeds", async () => {
  await t.http().mutation(retries.start, { failures: 2 });
  await until("it is done", async () => (await noted("retried: success 3")) === 1);
  assert.equal(await noted("try"), 3);
});

t.check("workpool runs what is queued, and says how it ended", async () => {
  await t.http().mutation(work.enqueue, { items: [1, 2, 3, 4, 5, -1] });
  await until("all work is done", async () => {
    const all = await t.http().query(events.all, {});
    return all.filter((text) => text.startsWith("pooled")).length === 7;
  }, { timeoutMs: 60_000 });
  for (const text of ["pooled 1: 2", "pooled 5: 10", "pooled -1: failed", "pooled mutation"]) assert.equal(await noted(text), 1, text);
});

t.check("workflow goes through its steps", async () => {
  const id = await t.http().mutation(flow.start, { name: "tea" });
  await until("it is completed", async () => (await t.http().query(flow.status, { id })).type === "completed", { timeoutMs: 60_000 });
  assert.equal((await t.http().query(flow.status, { id })).result, "ordered tea".length + 3);
  assert.equal(await noted("ordered tea"), 1);
  assert.equal(await noted("sent tea"), 1);
});

t.check("crons registered at run time run until they are deleted", async () => {
  await t.http().mutation(jobs.register, { name: "tick", ms: 1_000 });
  assert.deepEqual(await t.http().query(jobs.list, {}), [["tick", { kind: "interval", ms: 1_000 }]]);
  await until("it ran twice", async () => (await noted("cron tick")) >= 2);
  await t.http().mutation(jobs.remove, { name: "tick" });
  assert.deepEqual(await t.http().query(jobs.list, {}), []);
});
