import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";

import { generator, makeIsolate } from "./isolate.mjs";

const source = readFileSync(createRequire(import.meta.url).resolve("object-inspect"), "utf8");

/** An isolate with object-inspect loaded in its realm, as a browser bundle would (no util.inspect). */
function withOracle() {
  const isolate = makeIsolate();
  const { run, native } = isolate;
  const oracle = run(`(function () { const module = { exports: {} }; (function (module, require) {${source}\n})(module, () => ({})); return module.exports; })()`);
  const options = { indent: 2, maxStringLength: 32768, customInspect: true };
  return { ...isolate, oracle: (value) => oracle(value, options), ours: native.shared.inspect };
}

const FIXED = [
  "undefined", "null", "true", "0", "-0", "1.5e300", "NaN", "10n", "'a'", `"it's \\\\ \\n \\x01 \\x1f \\x7f é"`, "Symbol('x')", "Symbol()",
  "[]", "[1, 2]", "[1, , 3]", "[[1], { a: 1 }]", "Object.assign([1], { x: 2, [Symbol('s')]: 3 })", "new Array(3)",
  "({})", "({ a: 1, 'b-c': 2, [Symbol('s')]: 'x', $: 1 })", "({ a: { b: { c: { d: { e: { f: 1 } } } } } })", "[[[[[[1]]]]]]",
  "Object.create(null)", "Object.assign(Object.create(null), { a: 1 })", "new (class Foo { x = 1 })()", "new (class {})()",
  "new (class Foo { get [Symbol.toStringTag]() { return 'Bar'; } })()", "({ [Symbol.toStringTag]: 'Tag', a: 1 })",
  "() => 1", "function f() {}", "class A {}", "Object.assign(function f() {}, { a: 1, b: { c: 1 } })",
  "new Error('m')", "Object.assign(new TypeError('m'), { code: 1, data: { a: 1 } })", "new Error('m', { cause: new Error('c') })", "new (class MyError extends Error { name = 'MyError' })('x')", "new Error('')",
  "new Map()", "new Map([['a', { b: 1 }], [{ k: 1, l: [1, {}] }, 2]])", "new Set()", "new Set([1, 'a', { b: 1 }])", "new Map([[new Map([[1, { a: 'x'.repeat(4) }]]), new Set([1])]])",
  "new WeakMap()", "new WeakSet()", "new Date(0)", "new Date(NaN)", "/a\\/b/gi",
  "Object(1)", "Object(-0)", "Object('s')", "Object(true)", "Object(1n)", "Object(Symbol('q'))", "Object.assign(Object(1), { a: 1 })",
  "new Uint8Array([1, 2])", "new ArrayBuffer(2)", "new DataView(new ArrayBuffer(1))", "Promise.resolve(1)", "(function* () {})()",
  "({ inspect() { return 'custom!'; } })", "({ inspect: 1 })", "({ a: { inspect() { return 'x\\ny'; } } })", "[{ inspect() { return 'x\\ny'; } }]",
  "globalThis", "Math", "JSON", "'x'.repeat(32769)", "'x'.repeat(40000)", "['x'.repeat(40000)]", "new Map([['x'.repeat(40000), 1]])",
  "(() => { const a = { x: 1 }; a.self = a; return a; })()", "(() => { const a = []; a.push({ a }, a); return a; })()", "(() => { const m = new Map(); m.set(m, m); return m; })()",
  "(() => { const a = {}; return [a, a, { a }]; })()", "({ nodeName: 'DIV', getAttribute() {}, attributes: [{ name: 'id', value: 'a\"b' }], childNodes: [1] })",
  "(function () { return arguments; })(1, 2)", "new Proxy([1], {})", "new Proxy({ a: 1 }, {})", "new (class extends Array {})()", "new (class X extends Map {})([[1, 2]])",
  "Object.create({ inherited: 1 })", "Object.create(Object.create(null))", "Symbol.prototype", "Map.prototype", "Number.prototype", "[undefined, null, -0]", "({ f() {}, g: () => {}, h: class B {} })",
];

test("fixed values print as object-inspect prints them", () => {
  const { run, oracle, ours } = withOracle();
  for (const code of FIXED) {
    const value = run(`(${code})`);
    assert.equal(ours(value), oracle(value), code);
  }
});

function expression(random, depth) {
  const { pick, below, times } = random;
  const leaf = () => pick(FIXED.slice(0, 13));
  if (depth === 0) return leaf();
  const inner = () => expression(random, depth - 1);
  const key = () => pick(["a", "b", "'x y'", "$", "1", "'it\\'s'", "[Symbol('k')]", "'\\n'"]);
  switch (below(9)) {
    case 0:
      return `[${times(4, inner)}]`;
    case 1:
      return `({ ${times(4, () => `${key()}: ${inner()}`)} })`;
    case 2:
      return `new Map([${times(3, () => `[${inner()}, ${inner()}]`)}])`;
    case 3:
      return `new Set([${times(3, inner)}])`;
    case 4:
      return `Object.assign(new Error(${pick(["'m'", "''", "'a\\nb'"])}, ${pick(["undefined", `{ cause: ${inner()} }`])}), { ${times(2, () => `${key()}: ${inner()}`)} })`;
    case 5:
      return `Object.assign(${pick(["() => {}", "function f() {}", "new (class K {})()", "Object.create(null)", "[1]"])}, { ${times(2, () => `${key()}: ${inner()}`)} })`;
    case 6:
      return `(() => { const o = ${pick(["{}", "[]"])}; o[0] = { x: ${inner()}, o }; return o; })()`;
    default:
      return leaf();
  }
}

test("generated values print as object-inspect prints them", () => {
  const { run, oracle, ours } = withOracle();
  for (let seed = 0; seed < 4000; seed++) {
    const code = expression(generator(seed), 1 + (seed % 7));
    const value = run(`(${code})`);
    assert.equal(ours(value), oracle(value), `seed ${seed}: ${code}`);
  }
});
