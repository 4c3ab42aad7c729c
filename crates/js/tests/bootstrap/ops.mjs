// The real operations, called synchronously: the example `ops_pipe` behind two named pipes.

import { execFileSync, spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const binary =
  process.env.HULL_OPS_PIPE ?? fileURLToPath(new URL("../../../../target/debug/examples/ops_pipe", import.meta.url));

const folder = mkdtempSync(join(tmpdir(), "hull-ops-"));
execFileSync("mkfifo", [join(folder, "calls"), join(folder, "replies")]);
const calls = openSync(join(folder, "calls"), "r+");
const replies = openSync(join(folder, "replies"), "r+");
const child = spawn(binary, [], { stdio: [calls, replies, "inherit"] });
child.on("error", (error) => {
  console.error(`cannot run ${binary}: ${error.message}; build it with cargo build -p hull-js --example ops_pipe`);
  process.exit(1);
});
child.unref();
process.on("exit", () => {
  child.kill();
  closeSync(calls);
  closeSync(replies);
  rmSync(folder, { recursive: true });
});

function encode(value) {
  if (value === undefined) return { u: true };
  if (typeof value === "string") return value.toWellFormed();
  if (value === null || typeof value === "boolean" || typeof value === "number") return value;
  if (ArrayBuffer.isView(value)) return { b: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64") };
  if (Object.prototype.toString.call(value) === "[object ArrayBuffer]") return { b: Buffer.from(value).toString("base64") };
  if (Array.isArray(value)) return value.map(encode);
  throw new TypeError("unsupported operation argument");
}

const buffer = Buffer.alloc(65536);

/** Returns the reply of the operation with bytes made by `makeBytes(buffer)`. */
export function callOperation(name, args, makeBytes, makeList) {
  const text = Buffer.from(`${JSON.stringify({ name, args: args.map(encode) })}\n`);
  for (let at = 0; at < text.length; ) at += writeSync(calls, text, at, Math.min(text.length - at, 32768));
  const chunks = [];
  for (;;) {
    const count = readSync(replies, buffer);
    chunks.push(Buffer.from(buffer.subarray(0, count)));
    if (buffer[count - 1] === 10) break;
  }
  const reply = JSON.parse(Buffer.concat(chunks).toString());
  if (reply.message !== undefined) return { error: reply };
  const decode = (value) => {
    if (Array.isArray(value)) return makeList(value.map(decode));
    if (value === null || typeof value !== "object") return value;
    return "b" in value ? makeBytes(Buffer.from(value.b, "base64")) : undefined;
  };
  return { value: decode(reply.ok) };
}
