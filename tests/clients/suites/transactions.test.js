import assert from "node:assert/strict";

import { anyApi } from "convex/server";

import { harness } from "../lib/harness.js";

const t = harness();
const { transactions } = anyApi;

t.check("a nested mutation that fails is rolled back alone", async () => {
  const client = t.client();
  const outcome = await client.mutation(transactions.nestedFails, { list: "nested" });
  assert.match(outcome.failed, /^Error: Uncaught Error: after its writes/);
  assert.deepEqual(outcome.before, [0, 1, 2]);
  assert.deepEqual(outcome.after, [0, 1, 2]);
  assert.deepEqual(await client.query(transactions.contents, { list: "nested" }), [0, 1, 2]);
});

t.check("transactionLimits bound a nested call and are lifted after it", async () => {
  const client = t.client();
  const { outcomes, written, remaining } = await client.mutation(transactions.limited, { list: "limited" });
  const expected = [
    /^3$/,
    /Too many writes in a single function execution \(limit: \d+\)/,
    /Too many bytes written in a single function execution/,
    /^1$/,
    /Too many documents read in a single function execution \(limit: \d+\)/,
    /Too many reads in a single function execution \(limit: \d+\)/,
  ];
  assert.equal(outcomes.length, expected.length);
  for (const [index, pattern] of expected.entries()) assert.match(outcomes[index], pattern);
  assert.deepEqual(written, [0, 1, 2, 8]);
  // What a failed call used stays used: 3, then 4 with the one past the limit, then 1 and 1.
  assert.deepEqual(remaining, [9, 9]);
});

t.check("useStaleSnapshot does not see the mutation's own writes", async () => {
  const outcome = await t.client().mutation(transactions.stale, { list: "stale" });
  assert.deepEqual(outcome, { fresh: [1], stale: [] });
});

t.check("commitTs becomes the timestamp of the commit everywhere", async () => {
  const client = t.client();
  const { begin, committed } = await client.mutation(transactions.stamped, {});
  assert.equal(typeof committed, "bigint");
  assert.ok(committed > begin, `${committed} is after ${begin}`);
  const value = await client.query(anyApi.values.get, { name: "stamped" });
  assert.deepEqual(value, { at: [committed] });
});

t.check("64 clients on one counter: no error, nothing lost, nobody starves", async () => {
  const CLIENTS = 64;
  const EACH = 10;
  await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      const client = t.client();
      for (let n = 0; n < EACH; n += 1) await client.mutation(transactions.increment, { list: "counter" });
    }),
  );
  assert.deepEqual(await t.client().query(transactions.contents, { list: "counter" }), [CLIENTS * EACH]);
});
