import { test } from "node:test";

import { generator } from "./isolate.mjs";
import { same, sameOutcomes } from "./same.mjs";

// Left out: what Node 20 or the url crate do other than the standard (file paths with doubled slashes, relative to opaque
// paths, refused ports, hosts of URLs without one, URLSearchParams(null)).
const PIECES = [
  "http", "https", "ftp", "file", "mailto", "convex", "javascript", ":", "://", "/", "//", "\\\\", "a.example", "EXAMPLE.com", "xn--9ca", "é", "127.0.0.1",
  "0x7f.1", "[::1]", "[1:2::3]", "[", ":80", ":443", ":8080", ":99999", "@", "user", "user:pass@", "..", ".", "%2e", "%zz", "%41", "?", "?q=1&r=a b", "#", "#frag é",
  " ", "\\t", "\\n", "a b", "<>", "|", "^", "`", "{}", "\\u0000", "\\ud800", "😀", "C:", "C|",
];
const COMPONENTS = ["href", "origin", "protocol", "username", "password", "host", "hostname", "port", "pathname", "search", "hash"];
const show = (url) => `((u) => [${COMPONENTS.map((c) => `u.${c}`)}, u.searchParams.toString(), JSON.stringify(u)])(${url})`;

test("generated URLs parse as in Node", async () => {
  const random = generator(1);
  const text = () => `"${random.times(6, () => random.pick(PIECES)).join("")}"`;
  const expressions = Array.from({ length: 3000 }, () =>
    random.below(3) ? `${show(`new URL("${random.pick(["http://", "https://a.example/x/", "file:///abc", "convex:", "ftp://h:21/"])}" + ${text()})`)}` : show(`new URL(${text()}, ${random.pick(["'https://h.example/a/b?c#d'", "'https://h/'", "undefined"])})`),
  );
  await sameOutcomes(expressions);
});

test("setters change URLs as in Node", async () => {
  const random = generator(2);
  const values = ["''", "'x'", "'HTTPS'", "'ftp:'", "'mailto'", "'é'", "'8080'", "'80'", "'99999'", "'8x'", "'/p q'", "'?a=b c'", "'#h h'", "'u:p'", "'a b'", "' '", "'1.2.3'", "null", "5"];
  const expressions = Array.from({ length: 1500 }, () => {
    const url = random.pick(["http://u:p@h.example:81/a/b?c=d#e", "https://h/", "mailto:x@y", "convex://h/x"]);
    const sets = random.times(3, () => `u.${random.pick(COMPONENTS.filter((c) => c !== "origin"))} = ${random.pick(values)};`);
    return show(`(() => { const u = new URL(${JSON.stringify(url)}); u.searchParams; ${sets.join(" ")} return u; })()`);
  });
  await sameOutcomes(expressions);
});

test("URLSearchParams behave as in Node", async () => {
  const random = generator(3);
  const name = () => random.pick(["'a'", "'b'", "''", "'é'", "'a b'", "'😀'", "'\\ud800'", "1", "null", "undefined"]);
  const init = () => random.pick(["''", "'?a=1&b=2&a=3'", "'a=%zz&&=&+=+'", "[['a','1'],['b','2']]", "{ a: 1, 'b c': 'd&e' }", "new Map([['a', 'b']])", "new URLSearchParams('x=y')", "[['a']]", "undefined", "'\\ufeffa=b'", "'a=%EF%BB%BF&b=%ff'"]);
  const expressions = Array.from({ length: 1500 }, () => {
    const steps = random.times(5, () =>
      random.pick([`p.append(${name()}, ${name()})`, `p.set(${name()}, ${name()})`, `p.delete(${name()})`, `p.delete(${name()}, ${name()})`, "p.sort()"]),
    );
    const reads = `[p.toString(), [...p], p.get(${name()}), p.getAll(${name()}), p.has(${name()}), p.has(${name()}, ${name()}), p.size, [...p.keys()], [...p.values()]]`;
    return `(() => { const p = new URLSearchParams(${init()}); ${steps.join("; ")}; return ${reads}; })()`;
  });
  await sameOutcomes(expressions);
});

test("a URL and its searchParams follow each other", async () => {
  await same(`
    const u = new URL("https://h/?a=1"); const p = u.searchParams; p.append("b", "é ~'"); const one = u.href;
    u.search = "?z=9"; const two = p.toString(); p.delete("z"); u.href = "https://i/?k"; p.forEach((v, k, o) => p === o);
    const it = p[Symbol.iterator](); p.append("l", "m");
    return [one, two, u.href, [...p], [...it], it.next(), Object.prototype.toString.call(it), URL.canParse("x"), URL.canParse("a:b"), String(p), p === u.searchParams];`);
});
