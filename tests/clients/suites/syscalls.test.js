// The host interface as bundles see it: every call is there, and none minds what it is given.

import assert from "node:assert/strict";

import { anyApi } from "convex/server";

import { harness } from "../lib/harness.js";
import { until } from "../lib/until.js";
import { Random } from "../lib/differential/random.js";

const t = harness();
const { inAction, inMutation, inQuery, notedOrigin, originInMutation, originInQuery, scheduleOrigin } = anyApi.syscalls;

/** Calls, and the functions in which npm convex makes them (function runtime spec 3.1). */
const CALLS = [
  ["1.0/get", "async", ["query", "mutation"]],
  ["1.0/insert", "async", ["mutation"]],
  ["1.0/shallowMerge", "async", ["mutation"]],
  ["1.0/replace", "async", ["mutation"]],
  ["1.0/remove", "async", ["mutation"]],
  ["1.0/count", "async", ["query", "mutation"]],
  ["1.0/queryStream", "sync", ["query", "mutation"]],
  ["1.0/queryStreamNext", "async", ["query", "mutation"]],
  ["1.0/queryCleanup", "sync", ["query", "mutation"]],
  ["1.0/queryPage", "async", ["query", "mutation"]],
  ["1.0/db/normalizeId", "sync", ["query", "mutation"]],
  ["1.0/getSnapshotTs", "sync", ["query", "mutation"]],
  ["1.0/getUserIdentity", "async", ["query", "mutation", "action"]],
  ["1.0/signJwt", "async", ["mutation"]],
  ["1.0/storageGetUrl", "async", ["query", "mutation", "action"]],
  ["1.0/storageGetMetadata", "async", ["query", "mutation", "action"]],
  ["1.0/storageGenerateUploadUrl", "async", ["mutation", "action"]],
  ["1.0/storageDelete", "async", ["mutation", "action"]],
  ["1.0/storageStore", "async", ["mutation"]],
  ["1.0/storageGet", "async", ["mutation"]],
  ["storage/storeBlob", "js", ["action"]],
  ["storage/getBlob", "js", ["action"]],
  ["1.0/schedule", "async", ["mutation"]],
  ["1.0/cancel_job", "async", ["mutation"]],
  ["1.0/actions/schedule", "async", ["action"]],
  ["1.0/actions/cancel_job", "async", ["action"]],
  ["1.0/runUdf", "async", ["query", "mutation"]],
  ["1.0/actions/query", "async", ["action"]],
  ["1.0/actions/mutation", "async", ["action"]],
  ["1.0/actions/action", "async", ["action"]],
  ["1.0/actions/vectorSearch", "async", ["action"]],
  ["1.0/createFunctionHandle", "async", ["query", "mutation", "action"]],
  ["1.0/getFunctionMetadata", "async", ["query", "mutation", "action"]],
  ["1.0/getDeploymentMetadata", "async", ["query", "mutation", "action"]],
  ["1.0/getRequestMetadata", "async", ["mutation", "action"]],
  ["1.0/getTransactionMetrics", "async", ["query", "mutation"]],
  ["1.0/auditLog", "async", ["query", "mutation"]],
  ["1.0/createServiceToken", "async", ["action"]],
  ["1.0/getServiceUrl", "async", ["action"]],
  ["1.0/componentArgument", "sync", ["query", "mutation", "action"]],
  ["1.0/requireOperation", "sync", ["query", "mutation"]],
  ["1.0/writeDeploymentAuditLog", "async", ["mutation"]],
];

/** What says that it is not built yet, so that the day it is, this list is too long. */
const NOT_BUILT = new Set([
  "mutation 1.0/signJwt",
  "action 1.0/actions/vectorSearch",
  "query 1.0/auditLog",
  "mutation 1.0/auditLog",
  "action 1.0/createServiceToken",
  "action 1.0/getServiceUrl",
  "query 1.0/requireOperation",
  "mutation 1.0/requireOperation",
  "mutation 1.0/writeDeploymentAuditLog",
]);

const run = {
  query: (calls) => t.http().query(inQuery, { calls }),
  mutation: (calls) => t.http().mutation(inMutation, { calls }),
  action: (calls) => t.http().action(inAction, { calls }),
};
const of = (where) => CALLS.filter(([, , all]) => all.includes(where));

t.check("every call of the library has an answer where it is made", async () => {
  const notBuilt = new Set();
  for (const where of Object.keys(run)) {
    const calls = of(where).map(([name, kind]) => ({ kind, name, args: "{}" }));
    const outcomes = await run[where](calls);
    calls.forEach(({ name }, at) => {
      const outcome = outcomes[at];
      assert.doesNotMatch(outcome, /Unknown (async )?operation/, `${name} in a ${where}`);
      if (/not implemented by this server yet/.test(outcome)) notBuilt.add(`${where} ${name}`);
    });
  }
  assert.deepEqual([...notBuilt].sort(), [...NOT_BUILT].sort());
});

t.check("what is no call is named", async () => {
  for (const where of Object.keys(run)) {
    const outcomes = await run[where]([
      { kind: "sync", name: "1.0/nonsense", args: "{}" },
      { kind: "async", name: "1.0/nonsense", args: "{}" },
      { kind: "js", name: "nonsense", args: "{}" },
      { kind: "async", name: "", args: "{}" },
    ]);
    assert.deepEqual(outcomes, ["Error: Unknown operation 1.0/nonsense", "Error: Unknown async operation 1.0/nonsense", "Error: Unknown operation nonsense", "Error: Unknown async operation "], where);
  }
  // The library looks for this text.
  const [metrics] = await run.action([{ kind: "async", name: "1.0/getTransactionMetrics", args: "{}" }]);
  assert.match(metrics, /Unknown async operation/);
});

t.check("no call minds what it is given", async () => {
  const random = new Random(Number(process.env.SEED ?? 20261127));
  const fields = ["id", "table", "value", "query", "queryId", "cursor", "pageSize", "idString", "storageId", "ts", "args", "name", "reference", "functionHandle", "udfType", "blob", "contentType", "sha256", "isSystem", "version", "requestId", "endCursor", "transactionLimits", "maximumRowsRead"];
  const texts = ["", "entries", "entries:add", "_storage", "_scheduled_functions", "j57f4v2fe61detz2p2dzhcz0bh8k0npa", "function://x#y", "_reference/childComponent/a/b", "query", "\u0000", "é".repeat(300), "FullTableScan", "IndexRange", "entries.by_list", "$", "..", "1.48.0", "a".repeat(70_000)];
  function value(depth) {
    switch (random.below(depth > 3 ? 7 : 10)) {
      case 0: return null;
      case 1: return random.pick([true, false]);
      case 2: return random.pick([0, -0, 1, -1, 1e300, 5e-324, 2 ** 53, 0.5, 1e9]);
      case 3: case 4: return random.pick(texts);
      case 5: return random.pick([{ $integer: "AAAAAAAAAAA=" }, { $integer: "x" }, { $bytes: "AA==" }, { $bytes: "?" }, { $float: "AAAAAAAA8H8=" }, { $commitTs: null }, { $undefined: null }, { $x: 1 }]);
      case 6: return { source: { type: random.pick(texts), tableName: random.pick(texts), indexName: "entries.by_list", order: random.pick(["asc", "desc", null, 3]), range: random.pick([[], [{ type: "Eq", fieldPath: "list", value: 1 }], [{ type: "Gt" }], 7]) }, operators: random.pick([[], [{ limit: -1 }], [{ filter: { $and: [{ $field: "n" }] } }], [{}], null]) };
      case 7: return Array.from({ length: random.below(4) }, () => value(depth + 1));
      default: return Object.fromEntries(Array.from({ length: random.below(5) }, () => [random.pick(fields), value(depth + 1)]));
    }
  }
  const malformed = ["", "null", "[]", "{", '"', "{}{}", "1e999", "[".repeat(5_000), '{"id":'.repeat(2_000), '{"id":"\\ud800","table":"\\udc00"}', "nul", '{"a":1,"a":2}'];
  function argument() {
    if (random.below(8) === 0) return random.pick(malformed);
    const wanted = Object.fromEntries(Array.from({ length: 1 + random.below(7) }, () => [random.pick(fields), value(0)]));
    return JSON.stringify(wanted);
  }
  let count = 0;
  for (const where of Object.keys(run)) {
    const calls = of(where).filter(([, kind]) => kind !== "js");
    for (let round = 0; round < 30; round++) {
      const batch = Array.from({ length: 60 }, () => {
        const [name, kind] = random.pick(calls);
        return { kind, name, args: argument() };
      });
      const outcomes = await run[where](batch).catch((error) => {
        throw new Error(`${error.message}\nby one of ${JSON.stringify(batch).slice(0, 20_000)}`);
      });
      assert.equal(outcomes.length, batch.length);
      for (const outcome of outcomes) assert.doesNotMatch(outcome, /panic|internal error|InternalServerError|Your request couldn't be completed/i, outcome);
      count += outcomes.length;
    }
  }
  assert.equal(count, 3 * 30 * 60);
});

t.check("functions know who sent the request, and what scheduled them", async () => {
  const call = async (kind, path, headers) => {
    const response = await fetch(`${t.hull.url}/api/${kind}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "User-Agent": "somebody/1", ...headers },
      body: JSON.stringify({ path: `syscalls:${path}`, args: {}, format: "json" }),
    });
    return (await response.json()).value;
  };
  const { requestId, ...seen } = await call("mutation", "originInMutation", {});
  assert.match(requestId, /^[0-9a-f]{16}$/);
  assert.deepEqual(seen, { ip: "127.0.0.1", userAgent: "somebody/1", scheduledFunctionId: null, authToken: null });
  // A proxy on this machine says for whom it asks.
  for (const each of await call("action", "originInAction", { "X-Forwarded-For": "6.6.6.6, 203.0.113.9" })) {
    assert.deepEqual([each.ip, each.userAgent], ["203.0.113.9", "somebody/1"]);
  }
  assert.equal((await t.client().mutation(originInMutation, {})).ip, "127.0.0.1");
  await assert.rejects(t.http().query(originInQuery, {}), /getRequestMetadata|Cannot get request metadata in a Query/);
  const id = await t.http().mutation(scheduleOrigin, {});
  const noted = await until("the scheduled function ran", () => t.http().query(notedOrigin, {}));
  assert.deepEqual({ ...noted, requestId: undefined }, { ip: null, userAgent: null, requestId: undefined, scheduledFunctionId: id, authToken: null });
});
