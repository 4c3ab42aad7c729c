import assert from "node:assert/strict";

import { anyApi } from "convex/server";
import { ConvexError } from "convex/values";

import { harness } from "../lib/harness.js";
import { Proxy } from "../lib/proxy.js";
import { watch } from "../lib/watch.js";

const t = harness();
const { page, send, sendMany } = anyApi.messages;

const numbers = (result) => result.page.map((message) => Number(message.body));
const range = (from, to) => Array.from({ length: Math.abs(to - from) }, (_, i) => (from < to ? from + i : from - i));

t.check("pages follow each other without gaps or repeats", async () => {
  const client = t.client();
  await client.mutation(sendMany, { channel: "walk", from: 0, to: 95 });
  const seen = [];
  let cursor = null;
  for (let guard = 0; guard < 20; guard += 1) {
    const result = await client.query(page, { channel: "walk", paginationOpts: { numItems: 10, cursor } });
    seen.push(...numbers(result));
    cursor = result.continueCursor;
    if (result.isDone) break;
    assert.equal(result.page.length, 10);
  }
  assert.deepEqual(seen, range(94, -1));
});

t.check("an insert grows its page and leaves the others alone", async () => {
  const client = t.client();
  await client.mutation(sendMany, { channel: "grow", from: 0, to: 30 });
  const first = watch(client, page, { channel: "grow", paginationOpts: { numItems: 10, cursor: null } });
  const { continueCursor } = await first.value("page one", (result) => result.page.length === 10);
  const second = watch(client, page, { channel: "grow", paginationOpts: { numItems: 10, cursor: continueCursor } });
  await second.value("page two", (result) => result.page.length === 10);

  await client.mutation(send, { channel: "grow", body: "30" });
  const grown = await first.value("11 items", (result) => result.page.length === 11);
  assert.deepEqual(numbers(grown), range(30, 19));
  assert.equal(grown.continueCursor, continueCursor);
  assert.equal(second.seen.length, 1, "the second page did not change");
});

t.check("page boundaries survive a reconnect", async () => {
  const proxy = await Proxy.start(t.hull.port);
  t.closing(() => proxy.close());
  const client = t.client({ url: proxy.url });
  await client.mutation(sendMany, { channel: "again", from: 0, to: 30 });
  const first = watch(client, page, { channel: "again", paginationOpts: { numItems: 10, cursor: null } });
  const { continueCursor } = await first.value("page one", (result) => result.page.length === 10);
  await client.mutation(send, { channel: "again", body: "30" });
  await first.value("11 items", (result) => result.page.length === 11);

  proxy.cut();
  await t.http().mutation(send, { channel: "again", body: "31" });
  const result = await first.value("12 items", (result) => result.page.length === 12);
  assert.deepEqual(numbers(result), range(31, 19));
  assert.equal(result.continueCursor, continueCursor);
});

t.check("the same page has the same cursor, also after a restart", async () => {
  const http = t.http();
  await http.mutation(sendMany, { channel: "same", from: 0, to: 30 });
  const ask = () => http.query(page, { channel: "same", paginationOpts: { numItems: 10, cursor: null } });
  const { continueCursor } = await ask();
  assert.equal((await ask()).continueCursor, continueCursor);
  await t.hull.stop();
  await t.hull.restart();
  assert.equal((await ask()).continueCursor, continueCursor);
  const next = await http.query(page, { channel: "same", paginationOpts: { numItems: 10, cursor: continueCursor } });
  assert.deepEqual(numbers(next), range(19, 9));
});

t.check("a tampered or foreign cursor is an InvalidCursor error that resets the page", async () => {
  const http = t.http();
  await http.mutation(sendMany, { channel: "tamper", from: 0, to: 30 });
  const { continueCursor } = await http.query(page, {
    channel: "tamper",
    paginationOpts: { numItems: 10, cursor: null },
  });
  const flipped = continueCursor.slice(0, -1) + (continueCursor.endsWith("a") ? "b" : "a");
  for (const [channel, cursor] of [
    ["tamper", flipped],
    ["tamper", "garbage"],
    ["another channel", continueCursor],
  ]) {
    const error = await http.query(page, { channel, paginationOpts: { numItems: 10, cursor } }).then(
      () => assert.fail(`cursor ${cursor} for ${channel} was accepted`),
      (error) => error,
    );
    // What usePaginatedQuery looks for before it starts again from the top.
    const recognised =
      error.message.includes("InvalidCursor") ||
      (error instanceof ConvexError && error.data?.isConvexSystemError === true && error.data?.paginationError === "InvalidCursor");
    assert.ok(recognised, `${error}`);
  }
});
