import { test } from "node:test";

import { generator } from "./isolate.mjs";
import { sameOutcomes } from "./same.mjs";

/** Waits until everything that can happen has happened, without timers. */
const SETTLE = `const settle = async () => { for (let i = 0; i < 120; i++) await null; };
  const show = (p) => { const s = { state: "pending" }; p.then((v) => { s.state = "ok"; s.value = v === undefined ? "undefined" : v; }, (e) => { s.state = "failed"; s.value = e?.name ? e.name + (e.constructor === TypeError ? "" : e.message) : e; }); return s; };`;
const scenario = (code) => `(async () => { ${SETTLE} ${code} })()`;

test("generated programs over a readable stream end as in Node", async () => {
  const random = generator(10);
  const expressions = Array.from({ length: 600 }, () => {
    const { pick, times, below } = random;
    const strategy = pick(["undefined", "{ highWaterMark: 0 }", "{ highWaterMark: 3 }", "{ highWaterMark: 2, size: (c) => c.length ?? 1 }", "new CountQueuingStrategy({ highWaterMark: 1 })"]);
    const pull = pick(["", "pull(c) { log.push('pull'); if (n++ < 3) c.enqueue('p' + n); else c.close(); },", "pull(c) { log.push('pull'); c.enqueue('x'); if (n++ > 1) throw new Error('pulled'); },", "async pull(c) { log.push('pull'); await null; n++; c.enqueue(n); if (n > 4) c.close(); },"]);
    const steps = times(8, () =>
      pick(["C.enqueue('e')", "C.enqueue('long')", "C.close()", "C.error(new Error('boom'))", "reads.push(show(R.read()))", "reads.push(show(R.read()))", "reads.push(show(R.cancel('why')))", "R.releaseLock()", "R = S.getReader()", "await settle()", "await settle()", "log.push(C.desiredSize)", "log.push(S.locked)", "reads.push(show(S.cancel('direct')))", "[S] = S.tee()"]),
    );
    const guarded = steps.map((step) => `try { ${step}; } catch (e) { log.push(e.name); }`).join(" ");
    return scenario(`const log = [], reads = []; let n = 0, C;
      let S = new ReadableStream({ start(c) { C = c; ${below(2) ? "c.enqueue('s');" : ""} }, ${pull} cancel(r) { log.push('cancel', r); ${pick(["", "throw new Error('c');"])} } }, ${strategy});
      let R = S.getReader(); const closed = show(R.closed); ${guarded} await settle(); return [log.filter((l) => l !== 'pull'), reads, closed];`);
  });
  await sameOutcomes(expressions);
});

test("generated programs over a writable stream end as in Node", async () => {
  const random = generator(11);
  const expressions = Array.from({ length: 600 }, () => {
    const { pick, times } = random;
    // Node 20 throws an internal error for a write after a finished close.
    const CLOSE = "out.push(show(W.close())); W.write = () => Promise.resolve('closed')";
    const strategy = pick(["undefined", "{ highWaterMark: 0 }", "{ highWaterMark: 3 }", "{ highWaterMark: 2, size: (c) => c.length }"]);
    const write = pick(["log.push('write', w);", "log.push('write', w); await null;", "log.push('write', w); if (n++ === 1) throw new Error('w');", "log.push('write', w); if (n++ === 1) c.error(new Error('inside'));", "await gate.promise; log.push('write', w);"]);
    const steps = times(9, () =>
      pick(["out.push(show(W.write('ab')))", "out.push(show(W.write('c')))", CLOSE, "out.push(show(W.abort('why')))", "out.push(show(W.ready))", "out.push(show(W.closed))", "C.error(new Error('boom'))", "W.releaseLock()", "{ const old = W; W = S.getWriter(); if (Object.hasOwn(old, 'write')) W.write = old.write; }", "await settle()", "log.push(W.desiredSize)", "log.push(S.locked)", "gate.open()", "out.push(show(S.abort('direct')))", "out.push(show(S.close()))", "log.push(C.signal.aborted)"]),
    );
    const guarded = steps.map((step) => `try { ${step}; } catch (e) { log.push(e.name); }`).join(" ");
    return scenario(`const log = [], out = []; let n = 0, C; const gate = {}; gate.promise = new Promise((r) => { gate.open = r; });
      let S = new WritableStream({ start(c) { C = c; ${pick(["", "", "throw new Error('start');", "return gate.promise;", "return Promise.reject(new Error('late'));"])} }, async write(w, c) { ${write} }, close() { log.push('close'); ${pick(["", "throw new Error('closing');"])} }, abort(r) { log.push('abort', r?.message ?? r); ${pick(["", "throw new Error('aborting');"])} } }, ${strategy});
      let W = S.getWriter(); const closed = show(W.closed), ready = show(W.ready); ${guarded} await settle(); gate.open(); await settle(); return [log, out, closed, ready];`);
  });
  await sameOutcomes(expressions);
});

// Which of two independent chains of promises is first is not compared: whether and why, not when, the source is cancelled.
test("generated pipes and transforms end as in Node", async () => {
  const random = generator(12);
  const expressions = Array.from({ length: 600 }, () => {
    const { pick, below } = random;
    const source = pick(["c.enqueue(1); c.enqueue(2); c.close();", "c.enqueue(1); c.error(new Error('src'));", "c.close();", "c.error(new Error('src'));", "c.enqueue(1); c.enqueue(2);"]);
    const pull = pick(["", "pull(c) { if (k++ < 2) c.enqueue('p' + k); else c.close(); },"]);
    const transform = pick(["", "transform(x, c) { c.enqueue(x); c.enqueue(x); },", "transform(x, c) { if (x === 2) throw new Error('t'); c.enqueue(x); },", "async transform(x, c) { await null; c.enqueue('a' + x); },", "transform(x, c) { c.enqueue(x); c.terminate(); },", "transform(x, c) { c.error(new Error('te')); },"]);
    const flush = pick(["", "flush(c) { c.enqueue('end'); },", "flush() { throw new Error('f'); },"]);
    const sink = pick(["log.push(x);", "log.push(x); await null;", "log.push(x); if (x === 1) throw new Error('sink');"]);
    const options = `{ preventClose: ${below(4) === 0}, preventAbort: ${below(4) === 0}, preventCancel: ${below(4) === 0}${pick(["", "", ", signal: A.signal"])} }`;
    const act = pick(["", "await settle(); A.abort('stop');"]);
    const through = below(3) === 0 ? "S" : `S.pipeThrough(new TransformStream({ ${transform} ${flush} }${pick(["", ", { highWaterMark: 2 }, { highWaterMark: 3 }"])}))`;
    return scenario(`const log = [], A = new AbortController(); let k = 0; ${through === "S" && !source.includes("src") ? pick(["", "A.abort('before');"]) : ""}
      const S = new ReadableStream({ start(c) { ${source} }, ${pull} cancel() { log.push('cancel'); } });
      const D = new WritableStream({ async write(x) { ${sink} }, close() { log.push('close'); }, abort(r) { log.push('abort', r?.message ?? r); } });
      const done = show(${through}.pipeTo(D, ${options})); ${act} await settle(); return [log.filter((l) => l !== 'cancel'), log.includes('cancel'), done, S.locked, D.locked];`);
  });
  await sameOutcomes(expressions);
});

test("readers of byte streams fill the views they are given", async () => {
  const random = generator(13);
  const expressions = Array.from({ length: 600 }, () => {
    const { pick, times } = random;
    const steps = times(7, () =>
      pick(["C.enqueue(new Uint8Array([1, 2, 3]))", "C.enqueue(new Uint8Array([4]))", "reads.push(show(read(new Uint8Array(2))))", "reads.push(show(read(new Uint16Array(2))))", "reads.push(show(read(new Uint8Array(new ArrayBuffer(8), 2, 5))))", "C.close()", "await settle()", "C.byobRequest && (C.byobRequest.view[0] = 9, C.byobRequest.respond(1))", "C.error(new Error('boom'))", "log.push(C.desiredSize)", "log.push(C.byobRequest === null)"]),
    );
    const guarded = steps.map((step) => `try { ${step}; } catch (e) { log.push(e.name); }`).join(" ");
    const reader = pick(["", "{ mode: 'byob' }", "{ mode: 'byob' }"]);
    return scenario(`const log = [], reads = []; let C;
      const S = new ReadableStream({ type: "bytes", start(c) { C = c; } ${pick(["", ", autoAllocateChunkSize: 4"])} });
      const R = S.getReader(${reader}); const read = async (view) => { const r = await R.read(view); return [r.done, r.value && [r.value.constructor.name, r.value.byteOffset, ...r.value]]; };
      ${guarded} await settle(); return [log, reads];`);
  });
  await sameOutcomes(expressions);
});

test("iteration, from, tee and strategies", async () => {
  await sameOutcomes(
    [
      `const out = []; for await (const c of ReadableStream.from([1, 2, 3])) { out.push(c); if (c === 2) break; } return out;`,
      `const out = []; for await (const c of ReadableStream.from((async function* () { yield 1; yield 2; })())) out.push(c); return out;`,
      `const log = []; const s = new ReadableStream({ start(c) { c.enqueue(1); c.enqueue(2); }, cancel(r) { log.push(r ?? 'cancelled'); } }); for await (const c of s) { log.push(c); break; } return [log, s.locked];`,
      `const log = []; const s = new ReadableStream({ start(c) { c.enqueue(1); c.enqueue(2); c.close(); }, cancel() { log.push('no'); } }); for await (const c of s.values({ preventCancel: true })) { log.push(c); break; } const r = await s.getReader().read(); return [log, r];`,
      `const [a, b] = ReadableStream.from([1, 2]).tee(); const out = []; for await (const c of a) out.push(c); for await (const c of b) out.push(c); return out;`,
      `const log = []; const [a, b] = new ReadableStream({ start(c) { c.enqueue(1); }, cancel(r) { log.push(r); } }).tee(); const x = a.cancel('a'); b.cancel('b'); await x; return log;`,
      `return [new CountQueuingStrategy({ highWaterMark: 2 }).size('abc'), new ByteLengthQueuingStrategy({ highWaterMark: 2 }).size(new Uint8Array(3)), new ByteLengthQueuingStrategy({ highWaterMark: 2 }).highWaterMark];`,
      `new CountQueuingStrategy();`, `new ReadableStream({ type: "x" });`, `new ReadableStream({}, { highWaterMark: -1 });`, `new ReadableStream({}, { highWaterMark: 'a' });`, `new WritableStream({ type: 'bytes' });`, `new ReadableStream({ pull: 5 });`,
      `new ReadableStreamDefaultController();`, `ReadableStream.prototype.getReader.call({});`, `return Object.prototype.toString.call(new ReadableStream());`, `new ReadableStream({ start() { throw new RangeError('x'); } });`,
      `const t = new TransformStream(); const w = t.writable.getWriter(); const r = t.readable.getReader(); const p = w.write('a'); const one = await r.read(); await p; w.close(); return [one, await r.read()];`,
      `const t = new TransformStream({ start(c) { c.enqueue('s'); }, cancel(r) { globalThis.q = r; } }); await t.readable.cancel('why'); return show(t.writable.getWriter().closed);`,
    ].map(scenario),
  );
});
