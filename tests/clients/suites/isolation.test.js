// What a function may try, and what the next call finds: the documented error, a pristine world, a process that lives.

import assert from "node:assert/strict";
import fs from "node:fs";

import { anyApi } from "convex/server";

import { harness } from "../lib/harness.js";
import { Hull } from "../lib/hull.js";
import { Project } from "../lib/project.js";
import { until } from "../lib/until.js";

const t = harness();
const { inAction, inMutation, inQuery, pristine } = anyApi.hostile;

const MEMORY = /JavaScript execution ran out of memory \(maximum memory usage: 64 MB\)$/;
const TIME = /Function execution timed out \(maximum duration: 1s\)$/;
const STACK = /Uncaught RangeError: Maximum call stack size exceeded\n/;
const LENGTH = /Uncaught RangeError: Invalid string length\n/;
/** Either, by the speed of the machine. */
const slow = (value) => [value, TIME];

/** By act of `hostile.ts`: what it comes to, or one of what. */
const ACTS = {
  objects: MEMORY,
  buffers: MEMORY,
  spread: MEMORY,
  fill: MEMORY,
  map: MEMORY,
  split: MEMORY,
  replace: MEMORY,
  typedSort: MEMORY,
  pad: MEMORY,
  strings: LENGTH,
  repeat: LENGTH,
  buffer: /Uncaught RangeError: invalid array buffer length\n/,
  bigint: /Uncaught RangeError: BigInt is too large to allocate\n/,
  recursion: STACK,
  getters: STACK,
  json: STACK,
  stringify: [STACK, TIME],
  flat: STACK,
  clone: STACK,
  cyclic: STACK,
  deep: STACK,
  power: slow(253530),
  digits: slow(301030),
  bigintText: slow(300000),
  search: slow(-1),
  searchWide: slow(-1),
  searchLast: slow(-1),
  replaceSearch: slow(20e6),
  splitSearch: slow(1),
  normalize: slow(3e6),
  number: slow(Infinity),
  fixed: 1126,
  date: "Invalid Date",
  decode: slow(8e6),
  subtle: "digest",
  logsCyclic: "logged",
  proxy: /Uncaught Error: trap\n/,
  throwsNull: /Uncaught null\n/,
  throwsGetter: /Uncaught #<Object>\n/,
  throwsProxy: /Uncaught #<Object>\n/,
  stackTrace: /Uncaught Error: traced\n/,
  // An action's result goes through the world it changed.
  pollute: ["polluted", null],
  convex: ["gone", /Uncaught ReferenceError: JSON is not defined\n/],
};

/** Without an end: an action may go on for half an hour. */
const ENDLESS = {
  microtasks: [TIME, MEMORY],
  regex: TIME,
  loop: TIME,
  indexOf: TIME,
  includes: TIME,
  lastIndexOf: TIME,
  reverse: TIME,
  sort: TIME,
  join: TIME,
  sparse: TIME,
  unshift: TIME,
  copyWithin: TIME,
  logs: TIME,
  thenable: TIME,
};

const meets = (outcome, expected) =>
  Array.isArray(expected) ? expected.some((one) => meets(outcome, one)) : expected instanceof RegExp ? expected.test(outcome?.message) : Object.is(outcome, expected);

const isPristine = async () => assert.deepEqual(await t.http().query(pristine, {}), [1, null, [2], "[1]", "string", "function", null]);

function perform(kind, call, acts) {
  for (const [act, expected] of Object.entries(acts)) {
    t.check(`${act} in a ${kind} comes to its documented end, and the next call is pristine`, async () => {
      const process = t.hull.child.process.pid;
      const outcome = await call(act).catch((error) => error);
      assert.ok(meets(outcome, expected), `${outcome?.message ?? JSON.stringify(outcome)} instead of ${expected}`);
      await isPristine();
      assert.equal(t.hull.child.process.pid, process);
      assert.equal(t.hull.child.result, undefined, "the server ended");
    }, { timeoutMs: 20_000 });
  }
}

perform("query", (act) => t.http().query(inQuery, { act }), { ...ACTS, ...ENDLESS });
perform("mutation", (act) => t.http().mutation(inMutation, { act }), { ...ACTS, ...ENDLESS });
perform("action", (act) => t.http().action(inAction, { act }), ACTS);

/** The threads of the server that bear this name. */
function threads(hull, name) {
  const tasks = `/proc/${hull.child.process.pid}/task`;
  return fs.readdirSync(tasks).filter((task) => fs.readFileSync(`${tasks}/${task}/comm`, "utf8").startsWith(name)).length;
}

t.check("actions that never pause hold up no other, nor the end of the server", async () => {
  const hull = await Hull.start();
  t.closing(() => hull.kill());
  await new Project("basic", hull).deploy();
  const action = async (act) => (await hull.post("/api/action", { path: "hostile:inAction", args: { act }, format: "json" })).json;
  // Actions go on without their callers; these have no answer but the end of the connection.
  const endless = Object.keys(ENDLESS).filter((act) => act !== "microtasks");
  const calls = endless.map((act) => action(act).catch(() => "the connection ended"));
  await until("threads beyond those of the start", () => threads(hull, "hull-action-ext") >= endless.length / 2, { timeoutMs: 30_000 });
  assert.equal((await action("fixed")).value, 1126);
  await hull.stop();
  for (const outcome of await Promise.all(calls)) {
    if (typeof outcome === "object") assert.equal(outcome.code, "InternalServerError", JSON.stringify(outcome));
  }
});
