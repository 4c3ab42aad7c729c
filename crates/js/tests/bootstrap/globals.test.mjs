import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";

import { inIsolate, makeIsolate, Uncatchable } from "./isolate.mjs";
import { same, sameOutcomes } from "./same.mjs";

const A = (what) =>
  `Can't use ${what} in queries and mutations. Please consider using an action. See https://docs.convex.dev/functions/actions for more details.`;

const message = (code) => `try { ${code}; return "no error"; } catch (e) { return [e.constructor === Error, e.message]; }`;

test("what only actions may do is refused by phase", async () => {
  for (const phase of ["query", "mutation"]) {
    assert.deepEqual(await inIsolate(message("await fetch('https://h/')"), phase), [true, A("fetch()")]);
    assert.deepEqual(await inIsolate(message("crypto.randomUUID()"), phase), [true, A("cryptographic randomness")]);
    assert.deepEqual(await inIsolate(message("crypto.getRandomValues(new Uint8Array(1))"), phase), [true, A("cryptographic randomness")]);
    const generate = "await crypto.subtle.generateKey({ name: 'HMAC', hash: 'SHA-256' }, true, ['sign'])";
    assert.deepEqual(await inIsolate(message(generate), phase), [true, A("cryptographic randomness")]);
    assert.deepEqual(await inIsolate(message("await Convex.jsSyscall('storage/storeBlob', {})"), phase), [true, A("storage.store()")]);
    const form = "await new Response('--b--', { headers: { 'content-type': 'multipart/form-data; boundary=b' } }).formData()";
    assert.deepEqual(await inIsolate(message(form), phase), [true, A("formData()")]);
  }
  for (const phase of ["import", "analysis", "schema"]) {
    assert.deepEqual(await inIsolate(message("await fetch('https://h/')"), phase), [true, "fetch() unsupported at import time"]);
    assert.deepEqual(await inIsolate(message("crypto.randomUUID()"), phase), [true, "Cannot use cryptographic randomness at import time"]);
  }
});

test("fetch rejects, it never throws at once", () => {
  const { run } = makeIsolate("query");
  const result = run("fetch('https://h/').catch(() => 'caught')");
  assert.equal(typeof result.then, "function");
});

test("a timer outside actions is an unhandled rejection", () => {
  // In a process of its own: the test runner takes unhandled rejections for failures.
  const program = `import { makeIsolate } from ${JSON.stringify(new URL("isolate.mjs", import.meta.url).href)};
    process.on("unhandledRejection", (error) => console.log(error.message));
    for (const phase of ["mutation", "import"]) {
      const { run } = makeIsolate(phase);
      console.log(run("let id; try { id = setTimeout(() => {}, 1); } catch { id = 'thrown'; } clearTimeout(id); id"));
    }`;
  const output = execFileSync(process.execPath, ["--input-type=module", "-e", program], { encoding: "utf8" });
  assert.deepEqual(output.trim().split("\n"), ["1", "1", A("setTimeout"), "setTimeout unsupported at import time"]);
});

test("time and randomness come from the host and count as observed", () => {
  const { run, state } = makeIsolate("query");
  assert.equal(run("Date.now()"), state.now);
  assert.equal(run("new Date().getTime()"), state.now);
  assert.equal(run("typeof Date()"), "string");
  assert.equal(run("new Date(5).getTime() + Date.UTC(1970, 0) + Date.parse('1970-01-01')"), 5);
  assert.equal(run("new (class D extends Date { x() { return this.getTime(); } })(7).x()"), 7);
  assert.equal(run("new Date() instanceof Date && new Date().constructor === Date"), true);
  assert.equal(run("Math.random()"), 0.5);
  assert.deepEqual(state.observed, ["time", "time", "time", "time", "time", "random"]);
  state.observed.length = 0;
  run("new Event('x'); new AbortController().abort(); new File([], 'n')");
  assert.deepEqual(state.observed, []);
});

test("process has env and nothing else", () => {
  const { run } = makeIsolate("query");
  assert.deepEqual(
    JSON.parse(run("JSON.stringify([Object.keys(process), process.env.A, process.env.B === undefined, 'A' in process.env, Object.keys(process.env), process.version === undefined])")),
    [["env"], "1", true, false, [], true],
  );
  assert.equal(run("process.env.A = 'changed'; process.env.A"), "1");
  assert.throws(() => run("process.env['a-b']"), { message: "The environment variable name a-b is invalid." });
  assert.throws(() => makeIsolate("schema").run("process.env.A"), { message: "Environment variables unsupported when evaluating schema" });
  assert.throws(() => makeIsolate("authConfig").run("process.env.NOPE"), {
    message: "Environment variable NOPE is used in auth config file but its value was not set",
    code: "AuthConfigMissingEnvironmentVariable",
  });
});

test("console logs by level, keeps timers, and has no other method", () => {
  const { run, logs } = makeIsolate("query");
  run(`console.log("hi", { a: 1 }); console.warn(1); console.trace("t"); console.time(); console.time(); console.timeLog("default", "x"); console.timeEnd(); console.timeEnd(); const { error } = console; error("bound");`);
  assert.deepEqual(logs, [
    ["LOG", "'hi'", "{\n  a: 1\n}"],
    ["WARN", "1"],
    ["LOG", "'t'", "    at f (x.ts:1:2)"],
    ["WARN", "Timer 'default' already exists"],
    ["INFO", "default: 12ms", "'x'"],
    ["INFO", "default: 25ms"],
    ["WARN", "Timer 'default' does not exist"],
    ["LOG", "'bound'"].with(0, "ERROR"),
  ]);
  const methods = JSON.parse(run("JSON.stringify(Object.keys(console).sort())"));
  assert.deepEqual(methods, ["debug", "error", "info", "log", "time", "timeEnd", "timeLog", "trace", "warn"]);
});

test("globals are hidden, absent ones are absent", () => {
  const { run } = makeIsolate();
  assert.equal(run("Object.keys(globalThis).filter((k) => k !== 'DOMException').length"), 0);
  const absent = ["window", "document", "navigator", "location", "global", "Buffer", "require", "module", "setImmediate", "queueMicrotask", "WebSocket", "BroadcastChannel", "CompressionStream", "XMLHttpRequest", "localStorage", "CustomEvent", "caches", "scheduler", "Deno"];
  assert.deepEqual(absent.filter((name) => run(`typeof ${name}`) !== "undefined"), []);
  assert.equal(run("self === globalThis && performance.timing === undefined"), true);
});

test("not-implemented parts end the function", () => {
  const { run } = makeIsolate();
  assert.throws(() => run("structuredClone(1, {})"), new Uncatchable("structuredClone with transfer not supported"));
  assert.throws(() => run("crypto.subtle.wrapKey()"), Uncatchable);
});

test("events reach listeners as in Node", async () => {
  await sameOutcomes([
    `(() => { const log = []; const t = new EventTarget(); const f = (e) => log.push(e.type, e.target === t, e.currentTarget === t, e.eventPhase); t.addEventListener('a', f); t.addEventListener('a', f); t.addEventListener('a', { handleEvent(e) { log.push('object'); } }, { once: true }); t.dispatchEvent(new Event('a')); t.dispatchEvent(new Event('a')); t.removeEventListener('a', f); t.dispatchEvent(new Event('a')); return log; })()`,
    `(() => { const t = new EventTarget(); t.addEventListener('a', (e) => e.preventDefault()); return [t.dispatchEvent(new Event('a')), t.dispatchEvent(new Event('a', { cancelable: true }))]; })()`,
    `(() => { const log = []; const t = new EventTarget(); t.addEventListener('a', (e) => { log.push(1); e.stopImmediatePropagation(); }); t.addEventListener('a', () => log.push(2)); t.dispatchEvent(new Event('a')); return log; })()`,
    `(() => { const log = []; const c = new AbortController(); const t = new EventTarget(); t.addEventListener('a', () => log.push(1), { signal: c.signal }); t.dispatchEvent(new Event('a')); c.abort(); t.dispatchEvent(new Event('a')); return log; })()`,
    `(() => { const log = []; const c = new AbortController(); c.signal.onabort = (e) => log.push('on', e.type); c.signal.addEventListener('abort', () => log.push('listener')); c.abort('r'); c.abort('again'); return [log, c.signal.aborted, c.signal.reason]; })()`,
    `(() => { const c = new AbortController(), d = new AbortController(); const any = AbortSignal.any([c.signal, d.signal]); const all = AbortSignal.any([any]); d.abort('d'); return [any.aborted, any.reason, all.aborted, all.reason, AbortSignal.any([d.signal]).aborted]; })()`,
    `(() => { const s = AbortSignal.abort(); return [s.aborted, s.reason.name, s.reason instanceof DOMException]; })()`,
    "AbortSignal.abort('x').throwIfAborted()", "new AbortSignal()", "new Event()", "new EventTarget().dispatchEvent({})", "EventTarget.prototype.addEventListener.call({}, 'a', () => {})",
    `(() => { const e = new Event('x', { bubbles: true }); return [e.bubbles, e.cancelable, e.type, e.target, e.isTrusted, Event.AT_TARGET]; })()`,
  ]);
});

test("globalThis is an event target", async () => {
  const got = await inIsolate(`const log = []; addEventListener('x', (e) => log.push(e.target === globalThis)); dispatchEvent(new Event('x')); globalThis.dispatchEvent(new Event('x')); return log;`);
  assert.deepEqual(got, [true, true]);
});

const CLONES = [
  "1", "'s'", "null", "undefined", "10n.toString()", "Symbol()", "() => 1", "new Date(5)", "new Date(NaN)", "/a/gi", "Object(1)", "Object('s')", "Object(false)", "[1, , 3]", "Object.assign([1], { x: 2 })",
  "({ a: { b: [1] } })", "new (class A { x = 1; get y() { return 2; } })()", "new Map([[{ a: 1 }, new Set([1])]])", "new Uint16Array([1, 2])", "new DataView(new ArrayBuffer(4), 1, 2)", "new ArrayBuffer(3)", "new Uint8Array(new ArrayBuffer(8), 2, 3)",
  "new TypeError('t', { cause: { a: 1 } })", "Object.assign(new Error('x'), { extra: 1, name: 'Custom' })", "Object.create(null)", "({ f() {} })", "new WeakMap()", "Promise.resolve()", "(function* () {})()", "({ [Symbol('s')]: 1, a: 2 })",
  "(() => { const a = {}; a.self = a; return a; })()", "(() => { const b = new ArrayBuffer(2); return [new Uint8Array(b), new Uint8Array(b)]; })()", "new (class M extends Map {})([[1, 2]])", "new (class E extends Error {})('e')", "({ get a() { throw new RangeError('g'); } })", "new Error()",
];

test("structuredClone copies what Node copies and refuses what Node refuses", async () => {
  const describe = `const describe = (v, seen = []) => {
    if (typeof v !== 'object' || v === null) return String(v);
    if (seen.includes(v)) return 'cycle ' + seen.indexOf(v);
    seen.push(v);
    const extra = v instanceof Map ? [...v].flat().map((x) => describe(x, seen)) : v instanceof Set ? [...v].map((x) => describe(x, seen)) : v instanceof Date ? v.getTime() : v instanceof RegExp ? String(v) : v instanceof ArrayBuffer ? [...new Uint8Array(v)] : v instanceof DataView ? [v.byteOffset, v.byteLength, describe(v.buffer, seen)] : ArrayBuffer.isView(v) ? [v.byteOffset, describe(v.buffer, seen)] : v instanceof Error ? [v.name, v.message, describe(v.cause, seen)] : typeof v.valueOf() !== 'object' ? String(v.valueOf()) : 0;
    return [Object.prototype.toString.call(v), v.constructor?.name, extra, Object.keys(v).map((k) => [k, describe(v[k], seen)])];
  };`;
  await sameOutcomes(CLONES.map((value) => `(() => { ${describe} const v = ${value}; const c = structuredClone(v); return [describe(c), typeof v === 'object' && v !== null && c === v]; })()`));
  await same(`const [a, b] = structuredClone([new Blob(['x'], { type: 'a/b' }), 1]); return [await a.text(), a.type];`);
});

test("digests and HMAC equal Node's", async () => {
  const hex = "[...new Uint8Array(%)].map((b) => b.toString(16)).join()";
  const data = "new TextEncoder().encode('data é')";
  const expressions = ["SHA-1", "sha-256", "SHA-384", "SHA-512"].flatMap((hash) => [
    `(async () => ${hex.replace("%", `await crypto.subtle.digest('${hash}', ${data})`)})()`,
    `(async () => ${hex.replace("%", `await crypto.subtle.digest({ name: '${hash}' }, ${data}.buffer)`)})()`,
    `(async () => { const k = await crypto.subtle.importKey('raw', ${data}, { name: 'HMAC', hash: '${hash}' }, true, ['sign', 'verify']); const s = await crypto.subtle.sign('HMAC', k, ${data});
      const jwk = await crypto.subtle.exportKey('jwk', k); const again = await crypto.subtle.importKey('jwk', jwk, { name: 'hmac', hash: { name: '${hash}' } }, false, ['verify']);
      const bad = new Uint8Array(s.slice(0)); bad[0] ^= 1;
      return [${hex.replace("%", "s")}, await crypto.subtle.verify('HMAC', again, s, ${data}), await crypto.subtle.verify('HMAC', again, bad, ${data}), jwk.k, jwk.alg, jwk.kty, jwk.ext, [...jwk.key_ops].sort(), k.type, k.extractable, k.algorithm, [...k.usages].sort(), ${hex.replace("%", "await crypto.subtle.exportKey('raw', k)")}]; })()`,
  ]);
  const key = (options) => `crypto.subtle.importKey('raw', new Uint8Array(4), { name: 'HMAC', hash: 'SHA-256' }, ${options})`;
  expressions.push(
    "crypto.subtle.digest('MD5', new Uint8Array(1))", "crypto.subtle.digest('HMAC', new Uint8Array(1))", `${key("true, []")}`, `${key("true, ['encrypt']")}`,
    `${key("false, ['sign']")}.then((k) => crypto.subtle.verify('HMAC', k, new Uint8Array(1), new Uint8Array(1)))`,
    "crypto.subtle.importKey('raw', new Uint8Array(0), { name: 'HMAC', hash: 'SHA-256' }, true, ['sign'])", "new CryptoKey()", "crypto.getRandomValues(new Float64Array(1))", "crypto.getRandomValues(new Uint8Array(70000))", "crypto.getRandomValues(new Uint8Array(4)).length", "crypto.randomUUID().length",
    `${key("true, ['sign', 'verify']")}.then((k) => [k instanceof CryptoKey, String(k)])`,
  );
  await sameOutcomes(expressions);
});

test("keys that are not extractable and platform objects are refused", async () => {
  const got = await inIsolate(`const names = []; const k = await crypto.subtle.importKey('raw', new Uint8Array(4), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
    for (const act of [() => crypto.subtle.exportKey('raw', k), () => structuredClone(new AbortController()), () => structuredClone(new URL("https://h/"))]) { try { await act(); } catch (e) { names.push(e.name); } }
    return names;`);
  assert.deepEqual(got, ["InvalidAccessError", "DataCloneError", "DataCloneError"]);
});

test("what crypto.subtle does not have says so", async () => {
  const raw = "new Uint8Array(16)";
  await assert.rejects(inIsolate(`await crypto.subtle.importKey('raw', ${raw}, 'AES-KW', true, ['wrapKey'])`), /Not implemented: crypto\.subtle\.importKey for AES-KW/);
  await assert.rejects(inIsolate(`await crypto.subtle.deriveBits({ name: 'X25519' }, {}, 8)`), /Not implemented: crypto\.subtle\.deriveBits for X25519/);
});

test("AsyncLocalStorage keeps stores apart", async () => {
  const { run } = makeIsolate();
  const got = JSON.parse(
    run(`(() => { const a = new AsyncLocalStorage(), b = new AsyncLocalStorage({ defaultValue: 'd' }); const log = [];
      a.run(1, () => { log.push(a.getStore(), b.getStore()); b.run(2, () => { log.push(a.getStore(), b.getStore()); a.exit(() => log.push(a.getStore() === undefined, b.getStore())); }); log.push(b.getStore()); });
      const bound = a.run('bound', () => AsyncLocalStorage.bind((x) => [a.getStore(), x])); log.push(a.getStore() === undefined, bound('arg'));
      const snapshot = a.run('snap', () => AsyncLocalStorage.snapshot()); log.push(snapshot((x, y) => [a.getStore(), x + y], 1, 2));
      const resource = a.run('res', () => new AsyncResource('T')); log.push(resource.runInAsyncScope(function (x) { return [a.getStore(), this.t, x]; }, { t: 't' }, 5));
      try { a.run(1, () => { throw new Error('x'); }); } catch { log.push(a.getStore() === undefined); }
      a.enterWith(9); log.push(a.getStore()); a.disable(); log.push(a.getStore() === undefined); return JSON.stringify(log); })()`),
  );
  assert.deepEqual(got, [1, "d", 1, 2, true, 2, "d", true, ["bound", "arg"], ["snap", 3], ["res", "t", 5], true, 9, true]);
});

test("performance has marks and measures", async () => {
  const got = await inIsolate(`performance.mark('a', { startTime: 2, detail: { x: 1 } }); performance.mark('b', { startTime: 9 }); const m = performance.measure('m', 'a', 'b');
    return [performance.now(), performance.timeOrigin, m.duration, performance.getEntries().map((e) => e.name), performance.getEntriesByType('mark').length, performance.getEntriesByName('a')[0].detail, (performance.clearMarks('a'), performance.getEntries().length)];`, "query");
  assert.deepEqual(got, [5, 1_600_000_000_000, 7, ["a", "m", "b"], 2, { x: 1 }, 2]);
});

test("weak references are strong and finalizers never run", async () => {
  const got = await inIsolate("const o = {}; new FinalizationRegistry(() => {}).register(o); return [new WeakRef(o).deref() === o, String(new WeakRef(o))];");
  assert.deepEqual(got, [true, "[object WeakRef]"]);
});

test("messages arrive later, in order, as copies", async () => {
  const code = `
    const { port1, port2 } = new MessageChannel();
    const seen = [];
    const first = { a: [1] };
    port2.postMessage(first);
    first.a.push(2);
    port2.postMessage("second");
    port1.onmessage = ({ data, type, target }) => seen.push([data, type, target === port1]);
    const atOnce = seen.length;
    await new Promise((resolve) => { port1.addEventListener("message", ({ data }) => data === "last" && resolve()); port2.postMessage("last"); });
    port1.close();
    port2.postMessage("too late");
    await null;
    return [atOnce, seen];`;
  assert.deepEqual(await inIsolate(code, "query"), [0, [[{ a: [1] }, "message", true], ["second", "message", true], ["last", "message", true]]]);
  await assert.rejects(inIsolate("new MessagePort()"), /Illegal constructor/);
});
