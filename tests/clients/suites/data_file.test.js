import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";

import { hullBinary } from "../lib/hull.js";
import { freePort } from "../lib/ports.js";
import { Child } from "../lib/process.js";
import { temporaryFolder } from "../lib/temporary.js";
import { within } from "../lib/until.js";

const digest = (file) => createHash("sha256").update(fs.readFileSync(file)).digest("hex");

/** Starts on the file and returns how it ended and what it said. */
async function serve(file) {
  const child = new Child(hullBinary(), [
    "serve",
    "--interface", "127.0.0.1",
    "--port", String(await freePort()),
    "--site-proxy-port", String(await freePort()),
    file,
  ]);
  try {
    return { ...(await within("the refusal", 20_000, child.exited)), output: child.output };
  } finally {
    child.signal("SIGKILL");
  }
}

/** The first page of an SQLite database that another program made. */
function foreignDatabase() {
  const page = Buffer.alloc(4096);
  page.write("SQLite format 3\0", 0, "latin1");
  page.writeUInt16BE(4096, 16);
  page.set([1, 1, 0, 64, 32, 32], 18);
  page.writeUInt32BE(1, 24);
  page.writeUInt32BE(1, 28);
  page.writeUInt32BE(4, 44);
  page.writeUInt32BE(1, 56);
  page.writeUInt32BE(1, 92);
  page.writeUInt32BE(3045000, 96);
  page[100] = 13;
  page.writeUInt16BE(4096, 105);
  return page;
}

for (const [name, content] of [
  ["text", Buffer.from("this is not a database\n".repeat(400))],
  ["a foreign SQLite database", foreignDatabase()],
  ["a torn header", Buffer.concat([Buffer.from("SQLite format 3\0"), Buffer.alloc(5000, 0xff)])],
]) {
  test(`a data file that holds ${name} is refused in a sentence and left alone`, { timeout: 30_000 }, async () => {
    const folder = temporaryFolder("foreign");
    const file = path.join(folder, "data.sqlite3");
    fs.writeFileSync(file, content);
    const before = digest(file);
    const { code, output } = await serve(file);
    assert.notEqual(code, 0);
    assert.notEqual(code, null, `ended by a signal:\n${output}`);
    assert.ok(output.includes("data.sqlite3"), `the file is not named:\n${output}`);
    assert.doesNotMatch(output, /panicked|RUST_BACKTRACE/);
    assert.equal(digest(file), before);
    for (const extra of ["-wal", "-journal"]) {
      assert.ok(!fs.existsSync(file + extra), `left ${extra} behind`);
    }
  });
}
