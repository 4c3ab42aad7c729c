import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";

import { convexTest } from "convex-test";
import { anyApi } from "convex/server";

import { compare, shown } from "../lib/differential/compare.js";
import { Programs, TABLES } from "../lib/differential/programs.js";
import { Random } from "../lib/differential/random.js";
import { harness } from "../lib/harness.js";

const PROGRAMS = Number(process.env.HULL_DIFFERENTIAL_PROGRAMS ?? 250);
const SEED = Number(process.env.HULL_DIFFERENTIAL_SEED ?? 1);
const { clear, fail, page, read, typedArgs, typedReturns, write } = anyApi.script;

let schema;
const t = harness("differential", {
  prepare: async ({ project }) => {
    schema = (await load(project, "schema.js")).default;
  },
});
const load = (project, name) => import(pathToFileURL(project.file(`convex/${name}`)));

/** The same functions in the mock. */
function mock() {
  return convexTest(schema, {
    "./convex/script.js": () => load(t.project, "script.js"),
    "./convex/_generated/server.js": () => load(t.project, "_generated/server.js"),
  });
}

/** Both worlds, empty. */
async function worlds() {
  const hull = t.http();
  await hull.mutation(clear, { tables: TABLES });
  return { hull, other: mock() };
}

t.check(`${PROGRAMS} generated programs give the same in convex-test`, async () => {
  let steps = 0;
  for (let seed = SEED; seed < SEED + PROGRAMS; seed += 1) {
    const random = new Random(seed);
    const programs = new Programs(random);
    const { hull, other } = await worlds();
    let ids = { hull: [], other: [] };
    for (let call = 0; call < 4; call += 1) {
      const isWrite = call === 0 || random.chance(60);
      const program = programs.steps(isWrite);
      const kind = isWrite ? "mutation" : "query";
      const [ours, theirs] = await Promise.all([
        hull[kind](isWrite ? write : read, { steps: program, ids: ids.hull }),
        other[kind](isWrite ? write : read, { steps: program, ids: ids.other }),
      ]);
      compare(program, ours, theirs, `seed ${seed}, call ${call}`);
      ids = { hull: ours.ids, other: theirs.ids };
      programs.documents = ours.ids.length;
      steps += program.length;
    }
    const all = TABLES.map((table) => ["query", { table, end: ["collect"] }]);
    const [ours, theirs] = await Promise.all([
      hull.query(read, { steps: all, ids: ids.hull }),
      other.query(read, { steps: all, ids: ids.other }),
    ]);
    compare(all, ours, theirs, `seed ${seed}, the end`);
  }
  assert.ok(steps > PROGRAMS * 10);
}, { timeoutMs: 300_000 });

/** How a call ended, comparable. */
async function ended(call) {
  try {
    return shown(await call, []);
  } catch {
    return "an error";
  }
}

t.check("validators of arguments and results accept and refuse the same", async () => {
  const random = new Random(SEED);
  const programs = new Programs(random);
  const { hull, other } = await worlds();
  const document = {
    hull: (await hull.mutation(write, { steps: [["insert", "loose", {}], ["insert", "free", {}]], ids: [] })).ids,
    other: (await other.mutation(write, { steps: [["insert", "loose", {}], ["insert", "free", {}]], ids: [] })).ids,
  };
  const fields = {
    n: [1, NaN], i: [1n], text: ["x"], list: [[], [true, null]], object: [{ x: 1 }, { x: 1, y: new ArrayBuffer(1) }], literal: ["a", 2],
  };
  const results = [{ x: 1 }, { x: 1, y: "y" }, { x: 1, z: 1 }, [], [1n], [1], null, undefined, {}];
  const calls = [];
  for (let i = 0; i < 600; i += 1) {
    const args = {};
    for (const [name, right] of Object.entries(fields)) {
      if (random.chance(30)) args[name] = random.chance(85) ? random.pick(right) : programs.value();
    }
    if (random.chance(4)) args.unknown = 1;
    const ref = random.chance(20) ? random.below(2) : undefined;
    const given = (ids) => (ref === undefined ? args : { ...args, ref: ids[ref] });
    calls.push([typedArgs, given(document.hull), given(document.other)]);
    const value = random.chance(60) ? random.pick(results) : programs.value();
    calls.push([typedReturns, { value }, { value }]);
  }
  let refused = 0;
  for (const [query, ours, theirs] of calls) {
    // The two ids are different texts: all there is to compare is whether they pass.
    const [a, b] = await Promise.all([ended(hull.query(query, ours)), ended(other.query(query, theirs))]);
    if (ours.ref === undefined) assert.equal(a, b, shown(ours, []));
    else assert.equal(a === "an error", b === "an error", `${shown(ours, [])}: ${a}, ${b}`);
    refused += a === "an error" ? 1 : 0;
  }
  assert.ok(refused > 100 && refused < calls.length - 100, `${refused} refused`);
});

/** All pages of a query, each as text. */
async function pages(world, what, ids, options) {
  const all = [];
  for (let cursor = null; ; ) {
    const { page: rows, isDone, continueCursor } = await world.query(page, { what, ids, options: { ...options, cursor } });
    all.push(rows.map((row) => shown(row, ids)).join(", "));
    if (isDone) break;
    cursor = continueCursor;
  }
  // A last page that is full says that it is the last one in the mock alone (see DIFFERENCES).
  if (all.at(-1) === "") all.pop();
  return all;
}

t.check("pages hold the same documents", async () => {
  for (let seed = SEED; seed < SEED + 40; seed += 1) {
    const random = new Random(seed);
    const programs = new Programs(random);
    const { hull, other } = await worlds();
    const steps = Array.from({ length: 20 }, () => ["insert", "loose", programs.looseDocument()]);
    programs.documents = steps.length;
    const [ours, theirs] = await Promise.all([hull, other].map((world) => world.mutation(write, { steps, ids: [] })));
    for (let i = 0; i < 6; i += 1) {
      const { end, ...what } = { ...programs.query(), table: "loose" };
      if (what.index === "by_id") continue;
      const options = { numItems: 1 + random.below(7) };
      if (random.chance(30)) options.maximumRowsRead = 1 + random.below(5);
      const lists = await Promise.all([pages(hull, what, ours.ids, options), pages(other, what, theirs.ids, options)]);
      assert.deepEqual(lists[0], lists[1], `seed ${seed}: ${shown(what, [])}, ${shown(options, [])}`);
    }
  }
}, { timeoutMs: 120_000 });

/**
 * Where the mock does not follow the specification: the generators leave these out. Each is shown to be so still: `steps`
 * run in a mutation, and the last one gives `hull` and `mock`.
 */
const row = (value) => ["insert", "loose", value];
const filtered = (filter) => ["query", { table: "loose", filter, end: ["collect"] }];
const value = (value) => ["value", value];
const DIFFERENCES = [
  {
    what: "a text that is no id: the mock finds no document instead of refusing it (data model 2.6)",
    steps: [["get", "no id"]], hull: "an error", mock: "null",
  },
  {
    what: "comparisons across types: the mock compares as JavaScript does, not by the order of values (function runtime 3.3)",
    steps: [row({ a: "x" }), filtered(["gt", ["field", "a"], value(5)])], hull: '[{_id: #0, a: "x"}]', mock: "[]",
  },
  {
    what: "undefined comes before null in the order of values (function runtime 3.3)",
    steps: [row({}), filtered(["lt", ["field", "a"], value(null)])], hull: "[{_id: #0}]", mock: "[]",
  },
  {
    what: "NaN is the largest number (function runtime 3.3)",
    steps: [row({ a: NaN }), filtered(["gt", ["field", "a"], value(1)])], hull: "[{_id: #0, a: NaN}]", mock: "[]",
  },
  {
    what: "-0 comes before 0 (function runtime 3.3)",
    steps: [row({ a: -0 }), filtered(["lt", ["field", "a"], value(0)])], hull: "[{_id: #0, a: -0}]", mock: "[]",
  },
  {
    what: "and, or, not and the filter itself want booleans; the mock takes what JavaScript takes for true (function runtime 3.3)",
    steps: [row({ a: 1 }), filtered(["and", ["field", "a"], value(true)])], hull: "an error", mock: "[{_id: #0, a: 1}]",
  },
  {
    what: "arithmetic is checked: 64 bits, and no mixing of kinds (function runtime 3.3)",
    steps: [row({}), filtered(["gt", ["add", value(2n ** 63n - 1n), value(1n)], value(0n)])], hull: "an error", mock: "[{_id: #0}]",
  },
  {
    what: "adding texts is no arithmetic (function runtime 3.3)",
    steps: [row({}), filtered(["eq", ["add", value("a"), value("b")], value("ab")])], hull: "an error", mock: "[{_id: #0}]",
  },
  {
    what: "equalities of a range may come in any order (data model 4.2)",
    steps: [row({ a: 1, b: 2 }), ["query", { table: "loose", index: "by_ab", range: [["eq", "b", 2], ["eq", "a", 1]], end: ["collect"] }]],
    hull: "[{_id: #0, a: 1, b: 2}]", mock: "an error",
  },
  {
    what: "a patch removes also a field that the table does not know; the mock checks it as if it were there (data model 5.3)",
    steps: [["insert", "typed", {}], ["patch", { id_: 0 }, { unknown: { undefined_: true } }]], hull: "null", mock: "an error",
  },
  {
    what: "documents are nested 16 levels deep at most (data model 8)",
    steps: [row({ a: nested(17) })], hull: "an error", mock: "#0",
  },
  {
    what: "documents have 1 MiB at most (data model 8)",
    steps: [row({ a: "x".repeat(1 << 20) })], hull: "an error", mock: "#0",
  },
  {
    what: "literals of big integers: the mock accepts none (data model 5.1)",
    steps: [["insert", "typed", { literal: 2n }]], hull: "#0", mock: "an error",
  },
  {
    what: "fields of documents do not begin with an underscore (data model 8)",
    steps: [row({ _a: 1 })], hull: "an error", mock: "#0",
  },
  {
    what: "functions do not choose ids (data model 2.3)",
    steps: [row({}), row({ _id: { id_: 0 } })], hull: "an error", mock: "#1",
  },
];

function nested(levels) {
  return levels === 1 ? [] : [nested(levels - 1)];
}

for (const { what, steps, hull: ours, mock: theirs } of DIFFERENCES) {
  t.check(`differs: ${what}`, async () => {
    const last = async (world) => {
      const { outcomes, ids } = await world.mutation(write, { steps, ids: [] });
      const { ok, error } = outcomes.at(-1);
      return error === undefined ? shown(ok, ids) : "an error";
    };
    const { hull, other } = await worlds();
    assert.deepEqual({ hull: await last(hull), mock: await last(other) }, { hull: ours, mock: theirs });
  });
}

t.check("differs: a full page does not look whether there is another row (function runtime 3.5)", async () => {
  const { hull, other } = await worlds();
  for (const [world, isDone] of [[hull, false], [other, true]]) {
    const { ids } = await world.mutation(write, { steps: [row({}), row({})], ids: [] });
    const options = { numItems: 2, cursor: null };
    assert.equal((await world.query(page, { what: { table: "loose" }, ids, options })).isDone, isDone);
  }
});
