import assert from "node:assert/strict";

import { anyApi } from "convex/server";
import { ConvexError } from "convex/values";

import { harness } from "../lib/harness.js";
import { watch } from "../lib/watch.js";

const t = harness();
const { errors } = anyApi;

const DATA = {
  code: "NO",
  count: 7,
  big: 7n,
  zero: -0,
  bytes: new Uint8Array([1, 2]).buffer,
  nested: [{ why: null }],
};

/** What the call rejects with. */
const rejection = (call) =>
  call().then(
    (value) => assert.fail(`resolved with ${JSON.stringify(value)}`),
    (error) => error,
  );

/** Rejects with the error that a subscription reports. */
async function subscribed(client, query, args) {
  throw await watch(client, query, args).error();
}

for (const [name, data] of Object.entries({ object: DATA, string: "plain words", null: null, number: 2 })) {
  t.check(`ConvexError data of type ${name} arrives unchanged, by every way`, async () => {
    const client = t.client();
    for (const call of [
      () => client.query(errors.failingQuery, { data }),
      () => client.mutation(errors.failingMutation, { data }),
      () => t.http().query(errors.failingQuery, { data }),
      () => t.http().mutation(errors.failingMutation, { data }),
      () => subscribed(client, errors.failingQuery, { data }),
    ]) {
      const error = await rejection(call);
      assert.ok(error instanceof ConvexError, `${error}`);
      assert.deepStrictEqual(error.data, data);
    }
  });
}

t.check("a mutation that throws leaves nothing behind", async () => {
  const client = t.client();
  await rejection(() => client.mutation(errors.failingMutation, { data: 1 }));
  assert.deepEqual(await client.query(anyApi.messages.list, { channel: "rolled-back" }), []);
});

t.check("a thrown error carries its name, message and source position", async () => {
  for (const client of [t.client(), t.http()]) {
    const error = await rejection(() => client.query(errors.plainError, {}));
    assert.ok(!(error instanceof ConvexError));
    assert.match(error.message, /\[Request ID: [0-9a-f]{16}\] Server Error\nUncaught TypeError: boom\n {4}at .*\(\.\.\/convex\/errors\.ts:\d+:\d+\)/);
  }
  const error = await rejection(() => t.client().mutation(errors.plainErrorMutation, {}));
  assert.match(error.message, /Server Error\nUncaught Error: boom/);
});

t.check("unknown and internal functions are the same to an outsider", async () => {
  const client = t.client();
  for (const [path, call] of [
    ["messages:nope", () => client.query(anyApi.messages.nope, {})],
    ["nowhere:nope", () => client.query(anyApi.nowhere.nope, {})],
    ["errors:secretQuery", () => client.query(errors.secretQuery, {})],
    ["messages:nope", () => client.mutation(anyApi.messages.nope, {})],
    ["errors:secretMutation", () => client.mutation(errors.secretMutation, {})],
    ["messages:nope", () => t.http().query(anyApi.messages.nope, {})],
    ["errors:secretMutation", () => t.http().mutation(errors.secretMutation, {})],
    ["errors:secretQuery", () => subscribed(client, errors.secretQuery, {})],
  ]) {
    const error = await rejection(call);
    assert.ok(error.message.includes(`Could not find public function for '${path}'`), `${path}: ${error.message}`);
  }
  assert.equal(await client.query(anyApi.nested.deep.default, {}), "deep");
});

t.check("a function called as another kind says so", async () => {
  const error = await rejection(() => t.client().query("messages:send", { channel: "x", body: "y" }));
  assert.match(error.message, /Trying to execute messages\.js:send as Query, but it is defined as Mutation\./);
});

t.check("arguments and results that fail their validators say where", async () => {
  const wrong = await rejection(() => t.client().query(errors.needsNumber, { n: "1" }));
  assert.match(wrong.message, /ArgumentValidationError: /);
  assert.match(wrong.message, /Path: \.n/);
  const missing = await rejection(() => t.http().query(errors.needsNumber, {}));
  assert.match(missing.message, /ArgumentValidationError: Object is missing the required field `n`/);
  const extra = await rejection(() => t.http().query(errors.needsNumber, { n: 1, m: 2 }));
  assert.match(extra.message, /ArgumentValidationError: Object contains extra field `m`/);
  const result = await rejection(() => t.http().query(errors.returnsWrong, {}));
  assert.match(result.message, /ReturnsValidationError: /);
});

t.check("a query that never ends is stopped while others are served", async () => {
  const stopped = rejection(() => t.client().query(errors.endless, {}));
  const other = t.client();
  for (let n = 0; n < 20; n += 1) assert.equal(await other.query(errors.needsNumber, { n }), n);
  assert.match((await stopped).message, /Server Error\n.*(timed out|too long)/is);
});

t.check("a failing subscription recovers when its arguments do not fail any more", async () => {
  const client = t.client();
  await watch(client, errors.failingQuery, { data: "x" }).error();
  const good = watch(client, errors.needsNumber, { n: 3 });
  assert.equal(await good.value("3", (value) => value === 3), 3);
});
