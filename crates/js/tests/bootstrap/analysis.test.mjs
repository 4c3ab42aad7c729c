import assert from "node:assert/strict";
import { test } from "node:test";

import { makeIsolate } from "./isolate.mjs";

const { native } = makeIsolate("analysis");
const inspect = native.inspect;

function register(marker, extra) {
  const handler = () => {};
  const fn = Object.assign(() => {}, { [marker]: true, isPublic: true, exportArgs: () => '{"type":"any"}', exportReturns: () => "null", _handler: handler }, extra);
  return fn;
}
const at = (start_lineno, start_col = 0) => Object.assign(() => {}, { position: { path: "m.js", start_lineno, start_col } });

/** Parses the answer, or gives `[code, message]` of the error. */
function run(name, ...args) {
  try {
    return JSON.parse(inspect[name](...args));
  } catch (error) {
    return [native.failed?.error === error ? native.failed.code : undefined, error.message];
  }
}

test("functions are found, sorted by position, and what is ambiguous is skipped", () => {
  const namespace = {
    late: register("isQuery", { _handler: at(9) }),
    early: register("isMutation", { _handler: at(3, 2), isPublic: undefined }),
    nowhere: register("isAction", { exportArgs: undefined, exportReturns: undefined }),
    hidden: (() => {
      const fn = register("isQuery");
      delete fn.isPublic;
      fn.isInternal = true;
      fn._handler = at(3, 1);
      return fn;
    })(),
    both: register("isQuery", { isInternal: true }),
    twoKinds: register("isQuery", { isMutation: true }),
    plain: () => {},
    text: "x",
    http: Object.assign(() => {}, { isHttp: true }),
    experimental_reuseContext: true,
  };
  assert.deepEqual(run("inspectFunctions", namespace, "m.js"), {
    functions: [
      { name: "nowhere", pos: null, udfType: "Action", visibility: { kind: "public" }, args: null, returns: null },
      { name: "hidden", pos: { path: "m.js", start_lineno: 3, start_col: 1 }, udfType: "Query", visibility: { kind: "internal" }, args: '{"type":"any"}', returns: "null" },
      { name: "early", pos: { path: "m.js", start_lineno: 3, start_col: 2 }, udfType: "Mutation", visibility: { kind: "public" }, args: '{"type":"any"}', returns: "null" },
      { name: "late", pos: { path: "m.js", start_lineno: 9, start_col: 0 }, udfType: "Query", visibility: { kind: "public" }, args: '{"type":"any"}', returns: "null" },
    ],
    reuseContext: true,
  });
});

test("bad validators and names are errors that name the function", () => {
  const check = (extra, expected, name = "f") => assert.deepEqual(run("inspectFunctions", { [name]: register("isQuery", extra) }, "m.js"), expected);
  check({ exportArgs: () => 5 }, [undefined, `Invalid exportArgs return value: "m.js":f.exportArgs() didn't return a string.`]);
  check({ exportReturns: () => {} }, [undefined, `Invalid exportReturns return value: "m.js":f.exportReturns() didn't return a string.`]);
  check({ exportArgs: () => '{"type":"string"}' }, [undefined, "Args validator must be an object or any"]);
  assert.match(run("inspectFunctions", { f: register("isQuery", { exportArgs: () => "{" }) }, "m.js")[1], /^Invalid JSON returned from "m.js":f.exportArgs\(\): /);
  for (const name of ["a-b", "_", "x".repeat(65)]) {
    const [code, message] = run("inspectFunctions", { [name]: register("isQuery") }, "m.js");
    assert.equal(code, "InvalidFunctionName");
    assert.match(message, /^Invalid function name used in `m.js`: /);
  }
});

test("routes of http.js", () => {
  const routes = [["/a", "GET", register("isHttp", { _handler: at(4) })], ["/p/*", "POST", Object.assign(() => {}, {})]];
  const router = { isRouter: true, getRoutes() { return this === undefined ? [] : routes; } };
  assert.deepEqual(run("inspectHttpRoutes", { default: router }, "http.js"), [
    { route: { path: "/a", method: "GET" }, pos: { path: "m.js", start_lineno: 4, start_col: 0 } },
    { route: { path: "/p/*", method: "POST" }, pos: null },
  ]);
  assert.deepEqual(run("inspectHttpRoutes", {}), [undefined, "`convex/http.js` must have a default export of a Router."]);
  assert.deepEqual(run("inspectHttpRoutes", { default: {} }), [undefined, "The default export of `convex/http.js` is not a Router."]);
  const head = { isRouter: true, getRoutes: () => [["/a", "HEAD", () => {}]] };
  assert.match(run("inspectHttpRoutes", { default: head })[1], /invalid route/);
});

test("crons are normalized and checked", () => {
  const crons = (schedule, id = "job") => ({ default: { isCrons: true, export: () => JSON.stringify({ [id]: { name: "presence:clear", args: [{ a: 1 }], schedule } }) } });
  const check = (schedule, expected) => assert.deepEqual(run("inspectCrons", crons(schedule))[0].spec.cronSchedule, expected);
  assert.deepEqual(run("inspectCrons", crons({ type: "interval", seconds: 30 })), [
    { identifier: "job", spec: { udfPath: "presence.js:clear", udfArgs: '[{"a":1}]', cronSchedule: { type: "interval", seconds: 30 } } },
  ]);
  check({ type: "interval", hours: 2 }, { type: "interval", seconds: 7200 });
  check({ type: "hourly" }, { type: "hourly", minuteUTC: null });
  check({ type: "daily", hourUTC: 17, minuteUTC: 30 }, { type: "daily", hourUTC: 17, minuteUTC: 30 });
  check({ type: "weekly", dayOfWeek: "monday", hourUTC: 0 }, { type: "weekly", dayOfWeek: 1, hourUTC: 0, minuteUTC: null });
  check({ type: "monthly", day: 31, hourUTC: 0, minuteUTC: 0 }, { type: "monthly", day: 31, hourUTC: 0, minuteUTC: 0 });
  check({ type: "cron", cron: "0 0 * * *" }, { type: "cron", cronExpr: "0 0 * * *" });
  const fails = (schedule, pattern) => {
    const [code, message] = run("inspectCrons", crons(schedule));
    assert.equal(code, "InvalidCron");
    assert.match(message, pattern);
  };
  fails({ type: "interval", seconds: 1, hours: 1 }, /Exactly one of \(seconds, minutes, hours\) should be specified/);
  fails({ type: "interval", seconds: 0 }, /Interval must be an integer greater than 0/);
  fails({ type: "daily", hourUTC: 24 }, /Hour of day/);
  fails({ type: "weekly", dayOfWeek: "Monday", hourUTC: 0 }, /Day of week/);
  fails({ type: "monthly", day: 0, hourUTC: 0 }, /Day of month/);
  fails({ type: "hourly", minuteUTC: 60 }, /Minute of hour/);
  fails({ type: "yearly" }, /unknown schedule/);
});

test("schema, auth config and definition", () => {
  assert.deepEqual(run("inspectSchema", { default: { export: () => '{"tables":[]}' } }), { tables: [] });
  assert.equal(run("inspectSchema", {})[0], "MissingSchemaExportError");
  assert.match(run("inspectSchema", { default: null })[1], /^Schema file missing default export\./);
  assert.equal(run("inspectSchema", { default: {} })[0], "InvalidSchemaExport");
  assert.deepEqual(run("inspectSchema", { default: { export() { throw Object.assign(new Error("inner"), { code: "own" }); } } }), [undefined, "inner"]);
  assert.equal(run("inspectSchema", { default: { export: () => "{" } })[0], "InvalidSchema");

  assert.deepEqual(run("inspectAuthConfig", { default: { providers: [] } }), { providers: [] });
  assert.equal(run("inspectAuthConfig", {})[0], "AuthConfigMissingExportError");
  assert.equal(run("inspectAuthConfig", { default: { a: 1n } })[0], "AuthConfigUnserializableError");
  assert.equal(run("inspectAuthConfig", { default: () => {} })[0], "AuthConfigUnserializableError");

  assert.deepEqual(run("inspectDefinition", { default: { export: () => ({ definitionType: { type: "app" } }) } }, ""), { definitionType: { type: "app" }, path: "" });
  for (const namespace of [{}, { default: {} }, { default: { export: () => "x" } }, { default: { export: () => ({}) }, more: 1 }]) {
    assert.equal(run("inspectDefinition", namespace, "")[0], "InvalidDefinition");
  }
});
