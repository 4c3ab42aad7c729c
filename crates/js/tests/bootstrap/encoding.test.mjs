import assert from "node:assert/strict";
import { test } from "node:test";

import { generator, inIsolate } from "./isolate.mjs";
import { same, sameOutcomes } from "./same.mjs";

const LABELS = ["utf8", "UTF-16", "latin1", "windows-1251", "koi8-r", "macintosh", "iso-8859-2"];

test("TextDecoder decodes chunks as Node does", async () => {
  const random = generator(4);
  const byte = () => random.pick([0x41, 0x80, 0x9f, 0xc3, 0xa9, 0xe2, 0x82, 0xac, 0xf0, 0x9f, 0x98, 0x80, 0xff, 0xfe, 0xef, 0xbb, 0xbf, 0xd8, 0x00, 0xdc, random.below(256)]);
  const expressions = [];
  for (let i = 0; i < 1500; i++) {
    const label = random.below(3) ? random.pick(["utf-8", "utf-16le", "utf-16be"]) : random.pick(LABELS);
    const options = `{ ignoreBOM: ${random.below(2) === 0}, fatal: ${random.below(4) === 0} }`;
    // Where a chunk's text ends is not compared, only the whole.
    const parts = random.times(4, () => `d.decode(new Uint8Array([${random.times(5, byte)}]), { stream: true })`);
    expressions.push(`(() => { const d = new TextDecoder("${label}", ${options}); return [d.encoding, [${[...parts, "d.decode()"]}].join(""), d.decode(new Uint8Array([0x41, 0x42]))]; })()`);
  }
  await sameOutcomes(expressions);
});

test("multi-byte legacy encodings decode valid text", async () => {
  const texts = { shift_jis: "83 65 83 58 83 67", "euc-jp": "a5 c6 a5 b9", gbk: "b2 e2 ca d4", gb18030: "81 30 84 36 b2 e2", big5: "b4 fa b8 d5", "euc-kr": "c5 d7 bd ba", "iso-2022-jp": "1b 24 42 25 46 1b 28 42" };
  await sameOutcomes(
    Object.entries(texts).map(([label, hex]) => {
      const bytes = hex.split(" ").map((digits) => `0x${digits}`);
      return `((d) => [d.encoding, d.decode(new Uint8Array([${bytes.slice(0, 3)}]), { stream: true }) + d.decode(new Uint8Array([${bytes.slice(3)}]))])(new TextDecoder("${label}"))`;
    }),
  );
});

test("an unknown label is a DOMException named RangeError", async () => {
  const got = await inIsolate(`try { new TextDecoder("x"); } catch (e) { return [e instanceof DOMException, e.name, e.message]; }`);
  assert.deepEqual(got, [true, "RangeError", "The encoding label provided ('x') is invalid."]);
});

test("TextEncoder encodes as Node does", async () => {
  const random = generator(5);
  const text = () => JSON.stringify(random.times(9, () => random.pick(["a", "é", "€", "😀", "\ud800", "\udc00", ""])).join(""));
  await sameOutcomes(
    Array.from({ length: 400 }, () =>
      random.pick([
        `[...new TextEncoder().encode(${text()})]`,
        `((b) => [new TextEncoder().encodeInto(${text()}, b), [...b]])(new Uint8Array(${random.below(12)}))`,
      ]),
    ),
  );
});

test("atob and btoa answer as in Node", async () => {
  const random = generator(6);
  const digits = () => random.times(8, () => random.pick(["Y", "Q", "=", " ", "\\n", "+", "/", "-", "é", "\\f", "9"])).join("");
  await sameOutcomes(
    Array.from({ length: 800 }, () => random.pick([`atob("${digits()}")`, `btoa("${digits()}")`, `btoa("\\x00\\xff${digits()}")`, `btoa("€")`, "atob(null)", "btoa(undefined)", "atob()"])),
  );
});

test("text streams join split characters", async () => {
  await same(`
    const out = [];
    const bytes = new TextEncoder().encode("\\ufeffa€😀b");
    const source = new ReadableStream({ start(c) { for (const b of bytes) c.enqueue(new Uint8Array([b])); c.close(); } });
    for await (const text of source.pipeThrough(new TextDecoderStream())) out.push(text);
    const texts = new ReadableStream({ start(c) { c.enqueue("a\\ud83d"); c.enqueue("\\ude00b\\ud800"); c.close(); } });
    const encoded = [];
    for await (const chunk of texts.pipeThrough(new TextEncoderStream())) encoded.push(...chunk);
    return [out.join(""), encoded];`);
});
