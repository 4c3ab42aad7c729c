import assert from "node:assert/strict";

import { anyApi } from "convex/server";

import { harness } from "../lib/harness.js";
import { watch } from "../lib/watch.js";

const t = harness();
const { version } = anyApi.live;

t.check("a push updates the results of connected clients over the same connection", async () => {
  const client = t.client();
  const subscription = watch(client, version, {});
  await subscription.value("the first version", (value) => value === "first");
  const { connectionCount } = client.connectionState();

  t.project.edit("convex/live.ts", '"first"', '"second"');
  await t.project.deploy();
  await subscription.value("the second version", (value) => value === "second");
  assert.equal(client.connectionState().connectionCount, connectionCount);
});

t.check("a function that disappears fails its subscribers, and comes back", async () => {
  const subscription = watch(t.client(), version, {});
  await subscription.value("a version", (value) => value === "second");
  t.project.edit("convex/live.ts", "const version", "const renamed");
  await t.project.deploy();
  assert.match((await subscription.error()).message, /Could not find public function for 'live:version'/);
  t.project.edit("convex/live.ts", "const renamed", "const version");
  await t.project.deploy();
  await subscription.value("the version again", (value) => value === "second");
});

t.check("an environment variable updates exactly the queries that read it", async () => {
  const client = t.client();
  const greeting = watch(client, anyApi.settings.greeting, {});
  const unrelated = watch(client, version, {});
  await greeting.value("nothing", (value) => value === "nothing set");
  await unrelated.value("a version", (value) => value === "second");
  await t.project.mustConvex(["env", "set", "GREETING", "ahoy"]);
  await greeting.value("the variable", (value) => value === "ahoy");
  await t.project.mustConvex(["env", "remove", "GREETING"]);
  await greeting.value("nothing again", (value) => value === "nothing set");
  assert.equal(unrelated.seen.length, 1);
});

t.check("code that throws while it loads is refused and the old code goes on", async () => {
  t.project.edit("convex/live.ts", "export const version", 'throw new Error("broken at import");\nexport const version');
  const { code, output } = await t.project.convex(["deploy", "-y", "--typecheck", "disable"]);
  assert.equal(code, 1);
  assert.match(output, /broken at import/);
  assert.match(output, /InvalidModules/);
  assert.equal(await t.client().query(version, {}), "second");
  t.project.edit("convex/live.ts", 'throw new Error("broken at import");\n', "");
});

t.check("a schema that stored documents do not match is refused with the document named", async () => {
  const id = await t.client().mutation(anyApi.messages.send, { channel: "schema", body: "text" });
  t.project.edit("convex/schema.ts", "body: v.string()", "body: v.number()");
  const { code, output } = await t.project.convex(["deploy", "-y", "--typecheck", "disable"]);
  assert.equal(code, 1);
  assert.match(output, /Schema validation failed/);
  assert.match(output, /in table "messages" does not match the schema/);
  assert.deepEqual(await t.client().query(anyApi.messages.list, { channel: "schema" }), ["text"]);
  assert.equal(typeof id, "string");

  t.project.edit("convex/schema.ts", "body: v.number()", "body: v.string()");
  await t.project.deploy();
});

t.check("a new index over existing documents is ready when the push is", async () => {
  await t.client().mutation(anyApi.messages.sendMany, { channel: "indexed", from: 0, to: 500 });
  t.project.edit("convex/schema.ts", '["channel"])', '["channel"]).index("by_body", ["body"])');
  t.project.edit(
    "convex/live.ts",
    "export const version",
    `export const byBody = query({
  args: {},
  handler: async (ctx) =>
    (await ctx.db.query("messages").withIndex("by_body", (q) => q.eq("body", "250")).unique())?.channel,
});

export const version`,
  );
  const { output } = await t.project.deploy();
  assert.match(output, /messages\.by_body/);
  assert.equal(await t.client().query(anyApi.live.byBody, {}), "indexed");
});
