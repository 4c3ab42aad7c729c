// Runs the same code in an isolate and with Node's own globals and compares the results.

import assert from "node:assert/strict";

import { inIsolate, inNode } from "./isolate.mjs";

/** `code` is the body of an async function with a JSON-able result. */
export async function same(code) {
  const [ours, theirs] = await Promise.all([inIsolate(code), inNode(code)]);
  assert.deepEqual(ours, theirs);
}

/** Each expression must give the same result, or throw an error of the same name; the first differences are shown. */
export async function sameOutcomes(expressions) {
  const code = `
    const results = [];
    ${expressions.map((e) => `try { results.push([await (${e})]); } catch (e) { results.push(e.name); }`).join("\n")}
    return results;`;
  const [ours, theirs] = await Promise.all([inIsolate(code), inNode(code)]);
  const differences = expressions
    .map((expression, at) => ({ expression, ours: JSON.stringify(ours[at]), theirs: JSON.stringify(theirs[at]) }))
    .filter(({ ours, theirs }) => ours !== theirs);
  const shown = differences.slice(0, 8).map((d) => `${d.expression}\n  ours   ${d.ours}\n  theirs ${d.theirs}`);
  assert.equal(differences.length, 0, `${differences.length} of ${expressions.length} differ:\n${shown.join("\n")}`);
}
