import assert from "node:assert/strict";

import { anyApi } from "convex/server";

import { harness } from "../lib/harness.js";
import { watch } from "../lib/watch.js";

const t = harness();
const { echo, put, get, describe } = anyApi.values;

const bytes = (...values) => new Uint8Array(values).buffer;

/** Every type, with the values at which encodings go wrong. */
const VALUES = {
  null: null,
  true: true,
  false: false,
  "empty string": "",
  "string beyond the basic plane": "naïve 🐋 \u0000 \u2028 \"quoted\" \\",
  "integer-valued float": 2,
  "negative zero": -0,
  "smallest float": 5e-324,
  "largest float": Number.MAX_VALUE,
  "float that needs 17 digits": 0.1 + 0.2,
  "large integer-valued float": 1e21,
  NaN: NaN,
  infinity: Infinity,
  "negative infinity": -Infinity,
  "int64 zero": 0n,
  "int64 beyond 2^53": 9007199254740993n,
  "int64 minimum": -(2n ** 63n),
  "int64 maximum": 2n ** 63n - 1n,
  "no bytes": bytes(),
  bytes: bytes(0, 255, 127, 128, 10),
  "empty array": [],
  "array of everything": [null, 1, 2n, "three", bytes(4), [5n], { six: -0 }],
  "empty object": {},
  "nested object": { a: { b: { c: [{ d: 1n }, { e: bytes(1) }] } }, "key with spaces": NaN, "": "empty key" },
};

for (const [name, value] of Object.entries(VALUES)) {
  t.check(`${name} round trips through both clients and the database`, async () => {
    const client = t.client();
    const http = t.http();
    for (const result of [
      await client.query(echo, { value }),
      await client.mutation(put, { name, value }),
      await client.query(get, { name }),
      await http.query(echo, { value }),
      await http.mutation(put, { name, value }),
      await http.query(get, { name }),
    ]) {
      // deepStrictEqual tells -0 from 0, bigint from number, and finds NaN equal.
      assert.deepStrictEqual(result, value);
    }
  });
}

t.check("a subscription delivers the same values", async () => {
  const subscription = watch(t.client(), get, { name: "subscribed" });
  const client = t.client();
  for (const value of Object.values(VALUES)) {
    await client.mutation(put, { name: "subscribed", value: { value } });
    await subscription.value("the value just put", (got) => {
      try {
        assert.deepStrictEqual(got, { value });
        return true;
      } catch {
        return false;
      }
    });
  }
});

t.check("functions see the types that were sent", async () => {
  const http = t.http();
  assert.equal(await http.query(describe, { value: 7n }), "bigint 7");
  assert.equal(await http.query(describe, { value: 7 }), "number 7");
  assert.equal(await http.query(describe, { value: -0 }), "number -0");
  assert.equal(await http.query(describe, { value: NaN }), "number NaN");
  assert.equal(await http.query(describe, { value: bytes(1, 2) }), "bytes 1,2");
  assert.equal(await http.query(describe, { value: null }), "null null");
});

t.check("encoded JSON prints floats as floats and keys in order", async () => {
  const { text } = await t.hull.post("/api/query", {
    path: "values:echo",
    format: "convex_encoded_json",
    args: [{ value: { b: 2, a: { $integer: "BwAAAAAAAAA=" }, c: { $float: "AAAAAAAAAIA=" }, d: 1e21, e: 0.5 } }],
  });
  assert.match(
    text,
    /"value":\{"a":\{"\$integer":"BwAAAAAAAAA="\},"b":2\.0,"c":\{"\$float":"AAAAAAAAAIA="\},"d":1e\+?21,"e":0\.5\}/,
  );
});

t.check("clean JSON is the default and loses types as documented", async () => {
  const { json, text } = await t.hull.post("/api/query", {
    path: "values:echo",
    args: { value: { i: { $integer: "BwAAAAAAAAA=" }, n: { $float: "AAAAAAAA+H8=" }, b: { $bytes: "AAE=" }, z: { $float: "AAAAAAAAAIA=" } } },
  });
  assert.equal(json.status, "success");
  assert.equal(json.value.i, "7");
  assert.equal(json.value.n, "NaN");
  assert.equal(json.value.b, "AAE=");
  assert.match(text, /"z":-0\.0/);
});

t.check("values that no client could mean are refused", async () => {
  for (const value of [
    { $integer: "BwAAAA==" },
    { $float: "AAAAAAAA8D8=" },
    { $bytes: "not base64!" },
    { $unknown: 1 },
    { $integer: "BwAAAAAAAAA=", more: 1 },
  ]) {
    const { status, json } = await t.hull.post("/api/query", { path: "values:echo", args: { value } });
    const refused = status === 400 || (status === 200 && json.status === "error");
    assert.ok(refused, `${JSON.stringify(value)} gave ${status} ${JSON.stringify(json)}`);
  }
});
