import { actionGeneric as action, mutationGeneric as mutation, queryGeneric as query } from "convex/server";
import { v } from "convex/values";

let calls = 0;

const endless = { length: 2 ** 53 - 1 };
const nested = (depth: number) => {
  let value: any = 1;
  for (let at = 0; at < depth; at++) value = [value];
  return value;
};
const G = globalThis as any;

/** What a function may try, by name. */
const ACTS: Record<string, () => unknown> = {
  objects: () => {
    const all = [];
    for (;;) all.push({ all: new Array(1_000).fill(all.length) });
  },
  buffers: () => {
    const all = [];
    for (;;) all.push(new ArrayBuffer(1 << 20));
  },
  strings: () => {
    let text = "x";
    for (;;) text += text;
  },
  repeat: () => "x".repeat(2 ** 30).length,
  pad: () => "x".padEnd(2 ** 29, "yz").length,
  spread: () => [...(function* () { for (;;) yield 1; })()].length,
  buffer: () => new Uint8Array(2 ** 31).length,
  recursion: () => {
    const down = (): number => 1 + down();
    return down();
  },
  getters: () => {
    const object: any = { get a() { return this.a; } };
    return object.a;
  },
  json: () => JSON.parse("[".repeat(200_000)),
  stringify: () => JSON.stringify(nested(100_000)).length,
  flat: () => (nested(100_000) as any).flat(Infinity).length,
  clone: () => structuredClone(nested(50_000)),
  regex: () => /^(a+)+$/.test(`${"a".repeat(40)}b`),
  loop: () => { for (;;); },
  microtasks: () => {
    const again = (): Promise<void> => Promise.resolve().then(again);
    return again();
  },
  indexOf: () => Array.prototype.indexOf.call(endless, 1),
  includes: () => Array.prototype.includes.call(endless, 1),
  lastIndexOf: () => Array.prototype.lastIndexOf.call(endless, 1),
  fill: () => Array.prototype.fill.call(endless, 1),
  reverse: () => Array.prototype.reverse.call({ ...endless }),
  sort: () => Array.prototype.sort.call({ ...endless }),
  join: () => Array.prototype.join.call({ length: 2 ** 32 - 1 }, ""),
  sparse: () => new Array(2 ** 32 - 1).indexOf(1),
  unshift: () => Array.prototype.splice.call({ length: 2 ** 52 }, 0, 0, 1),
  copyWithin: () => Array.prototype.copyWithin.call({ ...endless }, 0, 1),
  bigint: () => { let n = 3n; for (;;) n *= n; },
  power: () => String(7n ** 300_000n).length,
  digits: () => String((1n << 1_000_000n) - 1n).length,
  bigintText: () => String(BigInt("1".repeat(300_000))).length,
  search: () => "a".repeat(20e6).indexOf(`${"a".repeat(10e6)}b`),
  searchWide: () => `${"a".repeat(8e6)}é€`.indexOf(`${"a".repeat(4e6)}b`),
  searchLast: () => "a".repeat(20e6).lastIndexOf(`${"a".repeat(10e6)}b`),
  replaceSearch: () => "a".repeat(20e6).replaceAll(`${"a".repeat(10e6)}b`, "").length,
  splitSearch: () => "a".repeat(20e6).split(`${"a".repeat(10e6)}b`).length,
  normalize: () => "\u0301".repeat(3e6).normalize("NFC").length,
  number: () => Number("1".repeat(30e6)),
  fixed: () => (1.1).toFixed(100).length + Number.MAX_VALUE.toString(2).length,
  date: () => String(new Date("1".repeat(10e6))),
  decode: () => decodeURIComponent("%41".repeat(8e6)).length,
  typedSort: () => new Float64Array(6e6).map((_, at) => -at).sort().length,
  subtle: () => crypto.subtle.digest("SHA-512", new Uint8Array(30e6)).then(() => "digest"),
  replace: () => "a".repeat(1e6).replaceAll("a", "b".repeat(1_000)).length,
  split: () => "a".repeat(3e6).split("").length,
  map: () => { const map = new Map(); for (let at = 0; ; at++) map.set(at, at); },
  cyclic: () => { const object: any = {}; object.self = object; return object; },
  deep: () => nested(200_000),
  proxy: () => new Proxy({}, { get() { throw new Error("trap"); }, ownKeys() { throw new Error("keys"); } }),
  throwsNull: () => { throw null; },
  throwsGetter: () => { throw { get message() { throw new Error("no"); }, get stack() { throw new Error("no"); }, get name() { return Symbol("x"); } }; },
  throwsProxy: () => { throw new Proxy(new Error("x"), { get() { throw new Error("trap"); } }); },
  stackTrace: () => { (Error as any).prepareStackTrace = () => { throw new Error("no"); }; throw new Error("traced"); },
  logs: () => { for (;;) console.log("x".repeat(100_000)); },
  logsCyclic: () => { const object: any = new Map(); object.set(object, [object]); console.log(object, nested(10_000)); return "logged"; },
  thenable: () => ({ then(resolve: any) { resolve(this); } }),
  pollute: () => {
    (Object.prototype as any).polluted = 1;
    (Array.prototype as any).map = null;
    (Promise.prototype as any).then = null;
    (JSON as any).stringify = () => "null";
    G.Convex.syscall = () => "null";
    G.Object = null;
    calls = 1_000;
    return "polluted";
  },
  convex: () => { for (const key of Object.getOwnPropertyNames(G)) { try { delete G[key]; } catch {} } return "gone"; },
};

const args = { act: v.string() };
const handler = async (_: any, { act }: { act: string }) => {
  calls++;
  return (await ACTS[act]()) as any;
};
export const inQuery = query({ args, handler });
export const inMutation = mutation({ args, handler });
export const inAction = action({ args, handler });

/** What every call must find. */
export const pristine = query({
  args: {},
  handler: async () => [++calls, ({} as any).polluted ?? null, [1].map((n) => n + 1), JSON.stringify([1]), typeof G.Convex.syscall("1.0/getSnapshotTs", "{}"), typeof fetch, (Error as any).prepareStackTrace ?? null],
});
