import assert from "node:assert/strict";
import { test } from "node:test";

import { generator, inIsolate } from "./isolate.mjs";
import { sameOutcomes } from "./same.mjs";

test("Headers behave as in Node", async () => {
  const random = generator(7);
  const name = () => random.pick(["'a'", "'A'", "'b'", "'Set-Cookie'", "'content-type'", "'x y'", "''", "'é'", "1"]);
  const value = () => random.pick(["'1'", "' 2 '", "'\\t\\n3'", "''", "'é'", "'€'", "'a\\r\\nb'", "'a\\0b'", "null", "5", "'x, y'"]);
  const init = () => random.pick(["undefined", "{ B: '1', a: '2' }", "[['a', '1'], ['A', '2'], ['set-cookie', 'x'], ['set-cookie', 'y']]", "new Headers({ q: 'r' })", "[['a']]", "new Map([['m', 'n']])", "'x'", "{ 'bad name': '1' }"]);
  const expressions = Array.from({ length: 1500 }, () => {
    const steps = random.times(5, () => random.pick([`h.append(${name()}, ${value()})`, `h.set(${name()}, ${value()})`, `h.delete(${name()})`]));
    return `(() => { const h = new Headers(${init()}); ${steps.join("; ")}; return [[...h], h.get(${name()}), h.has(${name()}), h.getSetCookie(), [...h.keys()], [...h.values()]]; })()`;
  });
  await sameOutcomes(expressions);
});

test("Blob and File behave as in Node", async () => {
  const random = generator(8);
  const part = () => random.pick(["'text'", "'é\\r\\n\\ud800'", "new Uint8Array([1, 2, 255])", "new Uint8Array([1, 2, 3]).buffer", "new DataView(new ArrayBuffer(2))", "new Blob(['inner'])", "5", "null"]);
  const type = () => random.pick(["''", "'Text/Plain'", "'é'", "undefined"]);
  const place = () => random.pick([0, 1, 2, -1, -3, 100, "undefined"]);
  const expressions = Array.from({ length: 500 }, () => {
    const blob = `new Blob([${random.times(4, part)}], { type: ${type()} })`;
    return `(async () => { const b = ${blob}; const s = b.slice(${place()}, ${place()}, ${type()}); return [b.size, b.type, await b.text(), s.size, s.type, [...new Uint8Array(await s.arrayBuffer())], String(s)]; })()`;
  });
  expressions.push(
    `((f) => [f.name, f.lastModified, f.size, f.type, f instanceof Blob])(new File(['a'], 'n', { lastModified: 5, type: 'X/y' }))`,
    "new File(['a'])", "new Blob('a')", "new Blob(['a'], 5)", "new Blob().text()",
    "(async () => { const out = []; for await (const c of new Blob(['abc', 'd']).stream()) out.push(...c); return out; })()",
  );
  await sameOutcomes(expressions);
});

test("FormData behaves as in Node", async () => {
  const random = generator(9);
  const name = () => random.pick(["'a'", "'b'", "'\\ud800'", "1"]);
  const value = () => random.pick(["'1'", "null", "new Blob(['x'], { type: 'a/b' })", "new File(['y'], 'n.txt', { lastModified: 1 })", "new Blob(['z']), 'named'", "'s', 'named'"]);
  const shown = "((v) => typeof v === 'string' || v === null ? v : [v.name, v.type, v.size, v.constructor.name])";
  const expressions = Array.from({ length: 600 }, () => {
    const steps = random.times(5, () => random.pick([`f.append(${name()}, ${value()})`, `f.set(${name()}, ${value()})`, `f.delete(${name()})`]));
    return `(() => { const f = new FormData(); ${steps.join("; ")}; return [[...f].map(([k, v]) => [k, ${shown}(v)]), ${shown}(f.get(${name()})), f.getAll(${name()}).map(${shown}), f.has(${name()})]; })()`;
  });
  await sameOutcomes(expressions);
});

test("Request and Response behave as in Node", async () => {
  const body = ["null", "'text é'", "new Uint8Array([104, 105])", "new URLSearchParams('a=b c')", "new Blob(['blob'], { type: 'x/y' })", "new ReadableStream({ start(c) { c.enqueue(new Uint8Array([65])); c.enqueue(new Uint8Array([66])); c.close(); } })", "5", "'{\"a\":1}'"];
  const reads = ["text()", "arrayBuffer().then((b) => [...new Uint8Array(b)])", "json()", "blob().then(async (b) => [b.type, await b.text()])", "clone().text()"];
  const expressions = [];
  for (const b of body) {
    for (const read of reads) {
      expressions.push(
        `(async () => { const r = new Response(${b}); const before = [r.bodyUsed, r.status, r.ok, r.type, r.url, r.redirected, r.statusText, [...r.headers], r.body === null]; return [before, await r.${read}, r.bodyUsed]; })()`,
        `(async () => { const r = new Request('https://h/x', { method: 'post', body: ${b}, duplex: 'half' }); return [r.method, r.url, [...r.headers], await r.${read}, r.bodyUsed]; })()`,
        `(async () => { const r = new Response(${b}); await r.text(); return await r.text(); })()`,
        `(async () => { const r = new Response(${b}); const c = r.clone(); return [await r.text(), await c.text()]; })()`,
        `(async () => { const r = new Response(${b}); const out = []; if (r.body) for await (const chunk of r.body) out.push(...chunk); return [out, r.bodyUsed]; })()`,
        `(async () => { const r = new Response(${b}); r.body?.getReader(); return [r.bodyUsed, await r.text()]; })()`,
      );
    }
  }
  expressions.push(
    "new Response('', { status: 199 })", "new Response('', { status: 600 })", "new Response('x', { status: 204 })", "new Response(null, { status: 204 }).status", "new Response('', { statusText: 'a\\nb' })",
    "((r) => [r.status, [...r.headers]])(Response.json({ a: 1 }, { status: 201, headers: { x: 'y' } }))", "Response.json(undefined)", "Response.json(() => {})",
    "((r) => [r.status, r.headers.get('location')])(Response.redirect('https://h/é', 301))", "Response.redirect('nope')", "Response.redirect('https://h/', 200)", "Response.redirect('https://h/').headers.set('a', 'b')",
    "new Request('https://h/', { body: 'x' })", "new Request('nope')", "new Request('https://u:p@h/')", "new Request('https://h/', { method: 'TRACE' })", "new Request('https://h/', { method: 'a b' })", "new Request('https://h/', { method: 'custom' }).method",
    "(async () => { const a = new Request('https://h/', { method: 'POST', body: 'x', headers: { q: 'r' } }); const b = new Request(a, { headers: { s: 't' } }); return [a.bodyUsed, [...b.headers], await b.text()]; })()",
    "(async () => { const c = new AbortController(); const r = new Request('https://h/', { signal: c.signal }); c.abort('why'); return [r.signal.aborted, r.signal.reason, r.signal === c.signal]; })()",
    "(async () => (await new Response('a=b+c&d=%26', { headers: { 'content-type': 'application/x-www-form-urlencoded' } }).formData()).get('d'))()",
    "new Response('x', { headers: { 'content-type': 'text/plain' } }).formData()", "new Response('', { headers: { 'content-type': 'multipart/form-data; boundary=x' } }).formData()",
    "(async () => { const f = new FormData(); f.append('a\\n\"', 'l\\nm'); f.append('file', new File(['\\r\\n--x'], 'q\"é.bin', { type: 'a/b' })); const back = await new Response(f).formData(); const g = back.get('file'); return [[...back.keys()], back.get('a\\r\\n\"'), g.name, g.type, await g.text()]; })()",
    "new Response('{').json()", "new Response(new ReadableStream({ start(c) { c.enqueue('text'); c.close(); } })).text()",
  );
  await sameOutcomes(expressions);
});

test("deviations: Response.error has status 500, absent getters end the function", async () => {
  const got = await inIsolate(`let text; try { new Request("https://h/").mode; } catch (e) { text = e.message; } return [Response.error().status, new Request("https://h/", { method: "patch" }).method, text];`);
  assert.deepEqual(got, [
    500,
    "PATCH",
    "Not implemented: mode for Request. Consider calling an action defined in Node.js instead (https://docs.convex.dev/functions/actions).",
  ]);
});
