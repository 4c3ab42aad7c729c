// A Node.js context with the bootstrap scripts in it and a stand-in for the engine's natives.

import { readFileSync } from "node:fs";
import vm from "node:vm";

import { callOperation } from "./ops.mjs";

const folder = new URL("../../bootstrap/", import.meta.url);
const scripts = readFileSync(new URL("order.txt", folder), "utf8")
  .trim()
  .split("\n")
  .map((name) => new vm.Script(`(function (native) {"use strict";\n${readFileSync(new URL(name, folder), "utf8")}\n})`, { filename: name }));

export class Uncatchable extends Error {}

/** Returns { run(code), native, logs, state }; `state.phase` and `state.env` may be changed. */
export function makeIsolate(phase = "action") {
  const context = vm.createContext({ DOMException, queueMicrotask });
  const run = (code) => vm.runInContext(code, context);
  const [InnerBytes, InnerArray, InnerError] = [run("Uint8Array"), run("Array"), run("Error")];
  const state = { phase, now: 1_700_000_000_000, env: { A: "1" }, observed: [], slot: undefined, real: 0 };
  const logs = [];
  const native = run("({})");
  const makeList = (items) => InnerArray.from(items);
  Object.assign(native, {
    call(name, ...args) {
      const { value, error } = callOperation(name, args, (bytes) => new InnerBytes(bytes), makeList);
      if (error !== undefined) throw native.opError(error.class, error.name ?? undefined, error.message);
      return value;
    },
    phase: () => state.phase,
    now: () => state.observed.push("time") && state.now,
    performanceNow: () => 5,
    timeOrigin: () => 1_600_000_000_000,
    random: () => state.observed.push("random") && 0.5,
    randomBytes: (count) => new InnerBytes(count).fill(7),
    realNow: () => (state.real += 12.5),
    log: (level, messages) => logs.push([level, ...messages]),
    env(name) {
      if (name.includes("-")) throw new InnerError(`The environment variable name ${name} is invalid.`);
      return state.env[name];
    },
    syscall: (name, json) => json,
    asyncSyscall: async (name, json) => json,
    uncatchable: (message) => {
      throw new Uncatchable(message);
    },
    asyncContextGet: () => state.slot,
    asyncContextSet: (value) => {
      state.slot = value;
    },
    frames: () => "    at f (x.ts:1:2)",
    functionPosition: (fn) => fn.position ?? null,
  });
  for (const script of scripts) script.runInContext(context)(native);
  return { run, native, logs, state, context };
}

/** Runs an async function body in an isolate and gives its JSON-able result in this realm. */
export async function inIsolate(code, phase = "action") {
  const { run } = makeIsolate(phase);
  return JSON.parse(await run(`(async () => JSON.stringify(await (async () => {${code}})()) ?? "null")()`));
}

/** The same with Node's own globals. */
export async function inNode(code) {
  return JSON.parse(await vm.runInThisContext(`(async () => JSON.stringify(await (async () => {${code}})()) ?? "null")()`));
}

/** A small reproducible generator of random choices. */
export function generator(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const below = (count) => Math.floor(next() * count);
  const pick = (list) => list[below(list.length)];
  return { next, below, pick, times: (most, make) => Array.from({ length: below(most + 1) }, make) };
}
