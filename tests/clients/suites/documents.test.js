import assert from "node:assert/strict";

import { anyApi } from "convex/server";

import { harness } from "../lib/harness.js";
import { watch } from "../lib/watch.js";

const t = harness();
const { breaks, count, countWithOwnWrites, pages, storesInSystemTable, system } = anyApi.documents;
const { add } = anyApi.entries;

async function fill(list, rows) {
  const client = t.client();
  await Promise.all(Array.from({ length: rows }, (_, n) => client.mutation(add, { list, n })));
}

t.check("db.system shows the tables of the system, and db does not", async () => {
  assert.deepEqual(await t.http().query(system, {}), {
    storage: [],
    scheduled: [],
    page: [],
    missing: "null",
    throughDb: "System tables can only be accessed with db.system.",
    userTable: "User tables can only be accessed from db.query().",
    systemTable: "System tables can only be accessed from db.system.query().",
    normalized: "kg2004926d25askqh2ctneycvn8ja8ag",
  });
  for (const [table, text] of [
    ["_storage", /System tables \(prefixed with `_`\) are read-only\./],
    ["_modules", /System tables \(prefixed with `_`\) are read-only\./],
  ]) {
    await assert.rejects(t.http().mutation(storesInSystemTable, { table }), text);
  }
});

t.check("count counts own writes and is kept up to date", async () => {
  const subscription = watch(t.client(), count, {});
  const before = await subscription.value("a count", (n) => typeof n === "number");
  assert.equal(await t.http().mutation(countWithOwnWrites, { list: "counted" }), 1);
  await subscription.value("one more", (n) => n === before + 1);
});

t.check("an iteration that is left early has read what it saw", async () => {
  await fill("breaks", 20);
  for (const after of [1, 3, 19, 20, 21]) {
    const { seen, read } = await t.http().query(breaks, { list: "breaks", after });
    assert.equal(seen.length, Math.min(after, 20));
    assert.equal(read, seen.length);
  }
});

t.check("maximumRowsRead and maximumBytesRead end a page early, which says how to split it", async () => {
  await fill("split", 20);
  const ask = (options) => t.http().query(pages, { list: "split", options: { cursor: null, numItems: 20, ...options } });
  const whole = await ask({});
  assert.deepEqual([whole.page.length, whole.pageStatus ?? null], [20, null]);
  for (const limit of [{ maximumRowsRead: 6 }, { maximumBytesRead: 400 }]) {
    const first = await ask(limit);
    assert.equal(first.pageStatus, "SplitRequired", JSON.stringify(limit));
    assert.ok(first.page.length >= 3 && first.page.length < 20);
    // The two halves, each read up to where it ends, make the page again.
    const upper = await ask({ endCursor: first.splitCursor });
    const lower = await ask({ cursor: first.splitCursor, endCursor: first.continueCursor });
    assert.ok(upper.page.length > 0 && lower.page.length > 0);
    assert.deepEqual([...upper.page, ...lower.page], first.page);
    assert.deepEqual([upper.isDone, lower.isDone], [false, false]);
  }
  const recommended = await ask({ numItems: 7, maximumRowsRead: 8 });
  assert.equal(recommended.pageStatus, "SplitRecommended");
  assert.equal(recommended.page.length, 7);
  for (const options of [{ maximumRowsRead: 0 }, { numItems: 0 }, { numItems: 32_001 }]) {
    await assert.rejects(ask(options), /must be greater than 0|at least 1 document|Requested too many items/);
  }
});

t.check("a page with an end grows with what is inserted before it", async () => {
  await fill("ends", 10);
  const ask = (options) => t.http().query(pages, { list: "ends", options: { numItems: 5, ...options } });
  const first = await ask({ cursor: null });
  const rest = await ask({ cursor: first.continueCursor });
  assert.equal(rest.isDone, false);
  const end = await ask({ cursor: rest.continueCursor });
  assert.deepEqual([end.page, end.isDone], [[], true]);
  await t.http().mutation(add, { list: "ends", n: 10 });
  const bounded = await ask({ cursor: first.continueCursor, endCursor: end.continueCursor });
  assert.deepEqual(bounded.page.map(({ n }) => n).sort((a, b) => a - b).at(-1), 10);
  assert.equal(bounded.page.length, 6);
  assert.equal(bounded.isDone, true);
});
