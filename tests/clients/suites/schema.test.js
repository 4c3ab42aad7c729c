import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { buffer } from "node:stream/consumers";

import { anyApi } from "convex/server";

import { harness } from "../lib/harness.js";
import { until } from "../lib/until.js";

const t = harness("schema");
const { insert, insertMany, labels, remove, replace, version } = anyApi.rows;

/** Writes `convex/schema.ts`: the text of the tables, and of the options. */
function schema(tables, options = "") {
  t.project.write(
    "convex/schema.ts",
    `import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";
export default defineSchema({ ${tables} }${options && `, ${options}`});\n`,
  );
}

const deploy = ["deploy", "-y", "--typecheck", "disable"];
const push = async (...schemaText) => {
  schema(...schemaText);
  return (await t.project.deploy()).output;
};
const refusedPush = async (...schemaText) => {
  schema(...schemaText);
  const { code, output } = await t.project.convex(deploy);
  assert.equal(code, 1, output);
  return output;
};

const rowsWith = (table, index, ...equal) => t.http().query(labels, { table, index, equal });
const add = (table, value) => t.http().mutation(insert, { table, value });

t.check("validation turned on again looks at what was written while it was off, and a failed push changes nothing", async () => {
  const strict = 'off: defineTable({ n: v.number(), label: v.optional(v.string()) }).index("by_n", ["n"])';
  await push(strict);
  await add("off", { n: 1, label: "one" });
  await assert.rejects(add("off", { n: "two" }), /does not match the schema: Value does not match validator\.\nPath: \.n/);
  await push(strict, "{ schemaValidation: false }");
  const id = await add("off", { n: "two", label: "two" });

  t.project.edit("convex/rows.ts", '"first"', '"second"');
  const output = await refusedPush(strict.replace('"by_n"', '"by_number"'));
  assert.match(output, /Schema validation failed/);
  assert.ok(output.includes(`Document with ID "${id}" in table "off" does not match the schema`), output);
  assert.match(output, /Path: \.n\nValue: "two"\nValidator: v\.float64\(\)/);
  assert.equal(await t.http().query(version, {}), "first");
  assert.deepEqual(await rowsWith("off", "by_n", ["n", "two"]), ["two"]);
  await assert.rejects(rowsWith("off", "by_number"), /Index off\.by_number (not found|is currently)/);
  await add("off", { n: "three" });

  t.project.edit("convex/rows.ts", '"second"', '"first"');
  await push(strict, "{ schemaValidation: false }");
});

t.check("indexes are renamed and swapped in one push", async () => {
  const table = (a, b) => `swap: defineTable(v.any()).index("x", ["${a}"]).index("y", ["${b}"])`;
  await push(table("a", "b"));
  await add("swap", { a: 1, b: 2, label: "row" });
  assert.deepEqual(await rowsWith("swap", "x", ["a", 1]), ["row"]);
  const swapped = await push(table("b", "a"));
  assert.match(swapped, /\+\] swap\.x/);
  assert.deepEqual(await rowsWith("swap", "x", ["b", 2]), ["row"]);
  assert.deepEqual(await rowsWith("swap", "y", ["a", 1]), ["row"]);
  await push(table("b", "a").replace('"y"', '"z"'));
  assert.deepEqual(await rowsWith("swap", "z", ["a", 1]), ["row"]);
  await assert.rejects(rowsWith("swap", "y", ["a", 1]), /Index swap\.y not found\./);
});

t.check("an index has 16 fields, and a table 64 indexes, at most", async () => {
  const fields = (count) => JSON.stringify(Array.from({ length: count }, (_, i) => `f${i}`));
  await push(`wide: defineTable(v.any()).index("all", ${fields(16)})`);
  await add("wide", { f0: 1, f15: 2, label: "wide" });
  const equal = Array.from({ length: 16 }, (_, i) => [`f${i}`, i === 0 ? 1 : i === 15 ? 2 : { absent: true }]);
  assert.deepEqual(await rowsWith("wide", "all", ...equal), ["wide"]);
  assert.match(await refusedPush(`wide: defineTable(v.any()).index("all", ${fields(17)})`), /Indexes may have up to 16 fields\./);

  const indexes = (count) => Array.from({ length: count }, (_, i) => `.index("i${i}", ["f${i}"])`).join("");
  await push(`many: defineTable(v.any())${indexes(64)}`);
  await add("many", { f63: 7, label: "last" });
  assert.deepEqual(await rowsWith("many", "i63", ["f63", 7]), ["last"]);
  const output = await refusedPush(`many: defineTable(v.any())${indexes(65)}`);
  assert.match(output, /Table "many" cannot have more than 64 indexes\./);
});

t.check("an index reaches into objects, and tells an absent field from null", async () => {
  await push('deep: defineTable(v.any()).index("by_path", ["a.b", "c"])');
  for (const [label, value] of [
    ["number", { a: { b: 1 } }],
    ["null", { a: { b: null } }],
    ["absent", { a: {} }],
    ["no object", { a: 5 }],
    ["nothing", {}],
    ["c", { a: { b: 1 }, c: null }],
  ]) {
    await add("deep", { ...value, label });
  }
  const absent = { absent: true };
  assert.deepEqual(await rowsWith("deep", "by_path", ["a.b", 1]), ["number", "c"]);
  assert.deepEqual(await rowsWith("deep", "by_path", ["a.b", 1], ["c", absent]), ["number"]);
  assert.deepEqual(await rowsWith("deep", "by_path", ["a.b", 1], ["c", null]), ["c"]);
  assert.deepEqual(await rowsWith("deep", "by_path", ["a.b", null]), ["null"]);
  assert.deepEqual(await rowsWith("deep", "by_path", ["a.b", absent]), ["absent", "no object", "nothing"]);
});

t.check("a staged index is built beside, enabled without waiting, and staged again", async () => {
  const table = (staged) => `later: defineTable(v.any()).index("by_a", { fields: ["a"], staged: ${staged} })`;
  await push("later: defineTable(v.any())");
  await t.http().mutation(insertMany, { table: "later", value: { a: 1, label: "x" }, count: 300 });
  assert.match(await push(table(true)), /later\.by_a.*\(staged\)/s);
  const staged = /Index later\.by_a is currently staged and not available to query until it is enabled\./;
  await assert.rejects(rowsWith("later", "by_a", ["a", 1]), staged);
  await add("later", { a: 1, label: "x" });
  await push(table(false));
  assert.equal((await rowsWith("later", "by_a", ["a", 1])).length, 301);
  await push(table(true));
  await assert.rejects(rowsWith("later", "by_a", ["a", 1]), staged);
  await push(table(false));
  assert.equal((await rowsWith("later", "by_a", ["a", 1])).length, 301);
});

t.check("tables that the schema does not name are used like any other", async () => {
  await push("known: defineTable({ n: v.number() })", "{ strictTableNameTypes: false }");
  const id = await add("unknown", { n: "text", label: "free" });
  assert.deepEqual(await rowsWith("unknown", "by_creation_time"), ["free"]);
  await push("known: defineTable({ n: v.number() })");
  await t.http().mutation(replace, { id, value: { label: "still" } });
  assert.deepEqual(await rowsWith("unknown", "by_creation_time"), ["still"]);
});

/** Forwards to the server; `before(path)` is awaited ahead of each request. */
async function intercepting(before) {
  const proxy = http.createServer(async (request, response) => {
    const body = await buffer(request);
    await before(new URL(request.url, t.hull.url).pathname);
    const { host, connection, "content-length": _, ...headers } = request.headers;
    const answer = await fetch(t.hull.url + request.url, {
      method: request.method,
      headers,
      body: body.length > 0 ? body : undefined,
    });
    response.writeHead(answer.status, { "content-type": answer.headers.get("content-type") ?? "text/plain" });
    response.end(Buffer.from(await answer.arrayBuffer()));
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
  t.closing(() => {
    proxy.close();
    proxy.closeAllConnections();
  });
  return `http://127.0.0.1:${proxy.address().port}`;
}

t.check("a write that a schema on its way does not allow goes through and fails the push", async () => {
  await push("race: defineTable({ n: v.union(v.number(), v.string()) })");
  await add("race", { n: 1 });
  schema("race: defineTable({ n: v.number() })");
  let id;
  const url = await intercepting(async (path) => {
    if (path === "/api/deploy2/finish_push") id ??= await add("race", { n: "text" });
  });
  const { code, output } = await t.project.convex(deploy, { env: { CONVEX_SELF_HOSTED_URL: url } });
  assert.equal(code, 1, output);
  assert.match(output, /Schema has already been failed with error: New document in table "race" does not match the schema: /);
  const other = await add("race", { n: "more text" });

  // The next push finds them: which of both first is open.
  const again = await t.project.convex(deploy);
  assert.equal(again.code, 1);
  const named = [id, other].some((id) => again.output.includes(`Document with ID "${id}" in table "race" does not match the schema`));
  assert.ok(named, again.output);
});

t.check("a staged validator is checked in the background, applied without a walk, and not discarded unasked", async () => {
  const enforced = "v.union(v.number(), v.string())";
  const staging = `staged: defineTable({ n: ${enforced} }).staged({ n: v.number() })`;
  await push(`staged: defineTable({ n: ${enforced} })`);
  await t.http().mutation(insertMany, { table: "staged", value: { n: 1 }, count: 300 });
  const validated = async () => {
    await push(staging);
    await until("the staged validator to be valid", async () => /staged: validated/.test(await push(staging)), {
      timeoutMs: 60_000,
    });
  };
  await validated();

  // Not enforced, but a document that does not match is noticed.
  const id = await add("staged", { n: "text" });
  const failed = await push(staging);
  assert.match(failed, /staged: failed: New document in table "staged" does not match the staged schema: /);
  assert.match(failed, /fix the offending documents and redeploy to revalidate/);
  await t.http().mutation(remove, { id });
  await validated();

  const discarding = await refusedPush(`staged: defineTable({ n: ${enforced} })`);
  assert.match(discarding, /discards staged schema validation/);
  assert.match(discarding, /staged: validated; the push removes the staged validator/);
  assert.match(discarding, /--allow-unstaging-schema/);

  const applied = await push("staged: defineTable({ n: v.number() }).staged({ n: v.number(), more: v.optional(v.string()) })");
  assert.match(applied, /staged: validated\. This deploy applies the staged schema without scanning the table\./);
  await assert.rejects(add("staged", { n: "text" }), /does not match the schema/);

  schema("staged: defineTable({ n: v.number() })");
  const allowed = await t.project.mustConvex([...deploy, "--allow-unstaging-schema"]);
  assert.match(allowed.output, /Proceeding with push since --allow-unstaging-schema is set/);
});
