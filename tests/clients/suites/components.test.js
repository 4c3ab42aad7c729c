import assert from "node:assert/strict";

import { anyApi } from "convex/server";

import { harness } from "../lib/harness.js";
import { until } from "../lib/until.js";

const t = harness("components", { push: false, prepare: async ({ project }) => {
  await project.mustConvex(["env", "set", "STEP", "1"]);
  await project.deploy();
} });
const { app } = anyApi;

const admin = () => {
  const http = t.http();
  http.setAdminAuth(t.hull.adminKey);
  return http;
};

t.check("tables of the same name are apart, and calls go down two levels", async () => {
  const http = t.http();
  const id = await http.mutation(app.add, { to: "counter", key: "a" });
  await http.mutation(app.add, { to: "counter", key: "a" });
  await http.mutation(app.add, { to: "second", key: "a" });
  await http.mutation(app.note, { note: "own" });
  assert.equal(await http.query(app.get, { of: "counter", key: "a" }), 2);
  assert.equal(await http.query(app.get, { of: "second", key: "a" }), 10);
  assert.deepEqual(await http.query(app.notes, {}), ["own"]);
  assert.deepEqual(await http.query(app.journal, {}), ["first: first a", "first: first a"]);
  // The same table number in the other component, and no such document.
  assert.equal(await http.query(app.foreignId, { id }), null);
});

t.check("variables are what the parent gives, and live queries follow", async () => {
  const client = t.client();
  const seen = [];
  client.onUpdate(app.variables, { of: "counter" }, (value) => seen.push(value));
  await until("first variables", () => seen.length > 0);
  assert.deepEqual(seen[0].slice(0, 4), ["1", "first", null, null]);
  assert.match(seen[0][4], /\/counter$/);
  assert.deepEqual((await t.http().query(app.variables, { of: "second" })).slice(0, 2), ["10", "second"]);
  assert.doesNotMatch((await t.http().query(app.variables, { of: "second" }))[4], /\/counter$/);
  assert.deepEqual(await t.http().query(app.ownVariables, {}), ["1", null]);
  await t.project.mustConvex(["env", "set", "STEP", "2"]);
  await until("changed variables", () => seen.at(-1)[0] === "2");
  await t.project.mustConvex(["env", "set", "STEP", "1"]);
});

t.check("a failed call into a component is rolled back alone, and one of the app with all it did", async () => {
  const http = t.http();
  const caught = await http.mutation(app.addAndThrow, { key: "in", inside: true });
  assert.deepEqual(caught.data, { key: "in" });
  assert.equal(await http.query(app.get, { of: "counter", key: "in" }), 0);
  assert.ok((await http.query(app.notes, {})).includes("before in"));
  await assert.rejects(http.mutation(app.addAndThrow, { key: "out", inside: false }), /the app failed/);
  assert.equal(await http.query(app.get, { of: "counter", key: "out" }), 0);
  assert.ok(!(await http.query(app.notes, {})).includes("before out"));
});

t.check("only public functions of a child can be called", async () => {
  const http = t.http();
  await assert.rejects(http.mutation(app.callInternal, {}), /Child component counter does not export \[counts, hidden\]/);
  await assert.rejects(http.mutation(app.callMissing, { path: "function" }), /Child component counter does not export \[counts, missing\]/);
  await assert.rejects(http.mutation(app.callMissing, { path: "component" }), /Child component third not found/);
});

// Published components (workpool, for one) do, whatever used to be said of it.
t.check("a component reads pages", async () => {
  const { page, isDone } = await t.http().query(app.page, {});
  assert.equal(page.length, 1);
  assert.equal(isDone, false);
});

t.check("clients do not reach components, admins do", async () => {
  const ask = (body, headers = {}) =>
    fetch(`${t.hull.url}/api/query`, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...headers },
      body: JSON.stringify({ path: "counts:get", args: { key: "a" }, format: "json", ...body }),
    }).then((response) => response.json());
  const refused = await ask({ componentPath: "counter" });
  assert.match(refused.errorMessage, /Could not find public function for 'counts:get'/);
  const run = await t.project.mustConvex(["run", "--component", "counter", "counts:get", '{"key":"a"}']);
  assert.equal(run.stdout.trim(), "2");
  const data = await t.project.mustConvex(["data", "--component", "second", "counts"]);
  assert.match(data.output, /"a"/);
  await assert.rejects(admin().query(anyApi.counts.get, { key: "a" }), /Could not find public function for 'counts:get'/);
});

t.check("identity stays in the app", async () => {
  const nobody = t.http();
  assert.deepEqual(await nobody.query(app.where, {}), { name: "counts:where", user: null });
  const acting = t.http();
  acting.setAdminAuth(t.hull.adminKey, { issuer: "https://issuer", subject: "me", tokenIdentifier: "https://issuer|me" });
  // Inside a transaction it is the transaction's.
  assert.equal((await acting.query(app.where, {})).user, "https://issuer|me");
});

t.check("handles lead back from everywhere and live as long as the function", async () => {
  const http = t.http();
  const handle = await http.mutation(app.callBack, { text: "by handle" });
  assert.match(handle, /^function:\/\/[a-z0-9]+#app:noteInternally$/);
  assert.ok((await http.query(app.notes, {})).includes("by handle"));
  await http.action(app.callHandle, { handle, args: { note: "from an action" } });
  assert.ok((await http.query(app.notes, {})).includes("from an action"));
  const [same, ofComponent] = await http.action(app.handleFromAction, {});
  assert.equal(same, handle);
  assert.equal(await http.action(app.callHandle, { handle: ofComponent, args: {} }), "hidden");
  for (const wrong of ["function://", "function://abc#x", `function://${"0".repeat(31)}`]) {
    await assert.rejects(http.action(app.callHandle, { handle: wrong, args: {} }), /[Ff]unction handle/);
  }

  const text = "export const noteInternally = internalMutation({";
  t.project.edit("convex/app.ts", text, "export const noteElsewhere = internalMutation({");
  await t.project.deploy();
  await assert.rejects(http.action(app.callHandle, { handle, args: { note: "gone" } }), /Function handle not found/);
  t.project.edit("convex/app.ts", "export const noteElsewhere = internalMutation({", text);
  await t.project.deploy();
  await http.action(app.callHandle, { handle, args: { note: "back" } });
  assert.ok((await http.query(app.notes, {})).includes("back"));
});

t.check("what is scheduled is listed where it was scheduled and runs where it belongs", async () => {
  const http = t.http();
  await http.mutation(app.later, { note: "x" });
  await until("both ran", async () => {
    const notes = await http.query(app.notes, {});
    return notes.includes("later x") && (await http.query(app.get, { of: "counter", key: "later x" })) === 1;
  });
  await until("both are noted", async () => {
    const { here, there } = await http.query(app.scheduledThere, {});
    return here.some(([name, kind]) => name === "counts.js:add" && kind === "success") && there.some(([name, kind]) => name === "app.js:noteInternally" && kind === "success");
  });
});

t.check("cron jobs of a component run in each instance", async () => {
  await until("ticked", async () => (await t.http().query(app.ticks, {})) >= 1);
  await until("ticked in the second", async () => (await t.http().query(app.get, { of: "second", key: "tick" })) >= 10);
});

t.check("requests find their component", async () => {
  const get = async (path) => {
    const response = await fetch(`${t.hull.url}/http${path}`, { headers: { Authorization: "Bearer nonsense" } });
    return [response.status, await response.text()];
  };
  await t.http().mutation(app.add, { to: "counter", key: "http" });
  for (const [path, status, expected] of [
    ["/exact", 200, "app exact /exact"],
    ["/counter/exact", 200, "app exact /counter/exact"],
    ["/counter/deep/x", 200, "app prefix /counter/deep/x"],
    ["/counter/journal/a/b", 200, "journal /counter/journal/a/b"],
    ["/counter/none", 404, "No matching routes found"],
    ["/none", 404, "No matching routes found"],
  ]) {
    assert.deepEqual(await get(path), [status, expected], path);
  }
  // The app's exact route is in the way of the component's; without it:
  t.project.edit("convex/http.ts", '"/counter/exact"', '"/other/exact"');
  await t.project.deploy();
  assert.deepEqual(await get("/counter/exact"), [200, '{"path":"/counter/exact","count":1,"user":null}']);
});

t.check("an unmounted component keeps its data until it is back", async () => {
  const config = 'app.use(counter, { name: "second", env: { STEP: "10", LABEL: "second" } });';
  t.project.edit("convex/convex.config.ts", config, "");
  const unmounted = await t.project.mustConvex(["deploy", "-y", "--typecheck", "disable"]);
  assert.match(unmounted.output, /Unmounted component second/);
  await assert.rejects(t.http().query(app.get, { of: "second", key: "a" }), /Child component second not found/);
  t.project.edit("convex/convex.config.ts", "\nexport default", `${config}\n\nexport default`);
  const back = await t.project.deploy();
  assert.match(back.output, /Remounted component second/);
  assert.equal(await t.http().query(app.get, { of: "second", key: "a" }), 10);
});

t.check("a component is given just what it declares", async () => {
  for (const [from, to, expected] of [
    ['LABEL: "second"', 'LABEL: "second", OTHER: "x"', /is given the environment variable OTHER, which it does not declare/],
    [', LABEL: "second"', "", /is not given environment variables that it requires: LABEL/],
  ]) {
    t.project.edit("convex/convex.config.ts", from, to);
    const { code, output } = await t.project.convex(["deploy", "-y", "--typecheck", "disable"]);
    assert.equal(code, 1, output);
    assert.match(output, expected);
    if (to === "") t.project.edit("convex/convex.config.ts", 'STEP: "10"', 'STEP: "10", LABEL: "second"');
    else t.project.edit("convex/convex.config.ts", to, from);
  }
  t.project.edit("counter/convex.config.ts", "export default component", "if (process.env.STEP) component;\nexport default component");
  const { code, output } = await t.project.convex(["deploy", "-y", "--typecheck", "disable"]);
  assert.equal(code, 1, output);
  assert.match(output, /Environment variables are not supported in component definitions/);
});
