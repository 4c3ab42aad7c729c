import assert from "node:assert/strict";
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";

import { anyApi } from "convex/server";

import { harness } from "../lib/harness.js";
import { until } from "../lib/until.js";

const t = harness();
const { count, document, ids, inAction, metadata, remove, storeInAction, storeInMutation, tryAll, uploadUrl, url, urls, userId, writeRow } = anyApi.files;

const sha256 = (bytes, encoding = "base64") => crypto.createHash("sha256").update(bytes).digest(encoding);

async function upload(body, headers = {}, to) {
  const response = await fetch(to ?? (await t.http().mutation(uploadUrl, {})), { method: "POST", body, headers, ...(body instanceof ReadableStream && { duplex: "half" }) });
  return { status: response.status, cors: response.headers.get("access-control-allow-origin"), ...(await response.json()) };
}

const mustUpload = async (body, headers) => {
  const { status, storageId } = await upload(body, headers);
  assert.equal(status, 200);
  return storageId;
};

/** Files on the server's disk. */
function onDisk() {
  const folder = path.join(t.hull.dataFolder, "storage");
  return fs.readdirSync(folder, { recursive: true }).filter((name) => fs.statSync(path.join(folder, name)).isFile());
}

t.check("an upload is a file that queries see, and that is fetched by its URL", async () => {
  const bytes = crypto.randomBytes(300_000);
  const { storageId, cors } = await upload(bytes, { "Content-Type": "image/png", Origin: "http://page.test" });
  assert.equal(cors, "http://page.test");
  assert.match(storageId, /^kg2/);
  const http = t.http();
  const row = await http.query(document, { id: storageId });
  assert.deepEqual(
    { ...row, _creationTime: undefined },
    { _id: storageId, _creationTime: undefined, sha256: sha256(bytes), size: 300_000, contentType: "image/png" },
  );
  const found = await http.query(metadata, { id: storageId });
  assert.deepEqual({ ...found, storageId: undefined }, { storageId: undefined, sha256: sha256(bytes, "hex"), size: 300_000, contentType: "image/png" });
  const address = await http.query(url, { id: storageId });
  assert.equal(address, `${t.hull.url}/api/storage/${found.storageId}`);
  // The UUID is as good as the id.
  assert.equal(await http.query(url, { id: found.storageId }), address);
  const response = await fetch(address);
  assert.equal(response.status, 200);
  const headers = Object.fromEntries(["content-type", "content-length", "digest", "cache-control", "accept-ranges"].map((name) => [name, response.headers.get(name)]));
  assert.deepEqual(headers, {
    "content-type": "image/png",
    "content-length": "300000",
    digest: `sha-256=${sha256(bytes)}`,
    "cache-control": "private, max-age=2592000",
    "accept-ranges": "bytes",
  });
  assert.deepEqual(Buffer.from(await response.arrayBuffer()), bytes);
  const head = await fetch(address, { method: "HEAD" });
  assert.equal(head.headers.get("content-length"), "300000");
  assert.equal((await head.arrayBuffer()).byteLength, 0);
});

t.check("parts of a file are fetched by ranges", async () => {
  const id = await mustUpload("0123456789");
  const empty = await mustUpload("");
  const address = await t.http().query(url, { id });
  for (const [range, status, contentRange, text] of [
    ["bytes=0-3", 206, "bytes 0-3/10", "0123"],
    ["bytes=7-", 206, "bytes 7-9/10", "789"],
    ["bytes=-4", 206, "bytes 6-9/10", "6789"],
    ["bytes=5-99", 206, "bytes 5-9/10", "56789"],
    ["bytes=10-", 416, "bytes */10", ""],
    ["bytes=0-1,4-5", 416, null, ""],
    ["bytes=x", 200, null, "0123456789"],
  ]) {
    const response = await fetch(address, { headers: { Range: range } });
    assert.deepEqual([response.status, response.headers.get("content-range"), await response.text()], [status, contentRange, text], range);
    if (status === 206) assert.equal(response.headers.get("digest"), null);
  }
  const response = await fetch(await t.http().query(url, { id: empty }), { headers: { Range: "bytes=0-3" } });
  assert.deepEqual([response.status, response.headers.get("content-range"), await response.text()], [200, null, ""]);
});

t.check("what is no file is said to be none", async () => {
  for (const [name, status, code] of [
    ["x", 400, "InvalidStoragePath"],
    ["..%2f..%2fcredentials", 400, "InvalidStoragePath"],
    ["%2e%2e/credentials", 400, "InvalidStoragePath"],
    [crypto.randomUUID(), 404, "FileNotFound"],
  ]) {
    const response = await fetch(`${t.hull.url}/api/storage/${name}`);
    const body = await response.json().catch(() => ({}));
    // A client resolves dots by itself before it asks.
    if (response.status === 404 && body.code === undefined) continue;
    assert.deepEqual([response.status, body.code], [status, code], name);
  }
});

t.check("a digest is checked, and a token must be good", async () => {
  const bytes = Buffer.from("some bytes");
  const before = onDisk().length;
  assert.equal((await upload(bytes, { Digest: `sha-256=${sha256(bytes)}` })).status, 200);
  for (const [digest, code] of [
    [`sha-256=${sha256("other")}`, "Sha256Mismatch"],
    ["sha-256=short", "InvalidDigestHeader"],
    ["md5=abc", "InvalidDigestHeader"],
  ]) {
    const refused = await upload(bytes, { Digest: digest });
    assert.deepEqual([refused.status, refused.code], [400, code], digest);
  }
  const good = new URL(await t.http().mutation(uploadUrl, {}));
  const token = good.searchParams.get("token");
  for (const [query, status, code] of [
    ["", 400, "BadQueryArgs"],
    ["?token=", 401, "StorageTokenInvalid"],
    [`?token=${token.slice(0, -2)}`, 401, "StorageTokenInvalid"],
    [`?token=${token[0] === "B" ? "C" : "B"}${token.slice(1)}`, 401, "StorageTokenInvalid"],
  ]) {
    const refused = await upload(bytes, {}, `${t.hull.url}/api/storage/upload${query}`);
    assert.deepEqual([refused.status, refused.code], [status, code], query);
  }
  assert.equal(onDisk().length, before + 1);
  // Used again, it is good again.
  for (let at = 0; at < 2; at++) assert.equal((await upload(bytes, {}, good)).status, 200);
});

t.check("live queries follow a file's end", async () => {
  const id = await mustUpload("short-lived");
  const other = await mustUpload("other");
  const client = t.client();
  const seen = [];
  client.onUpdate(urls, { ids: [id, other] }, (value) => seen.push(value));
  await until("both URLs", () => seen.length > 0);
  const address = seen[0][0];
  assert.equal((await fetch(address)).status, 200);
  await t.http().mutation(remove, { id });
  await until("one is gone", () => seen.at(-1)[0] === null);
  assert.ok(seen.at(-1)[1]);
  assert.equal((await fetch(address)).status, 404);
  await assert.rejects(t.http().mutation(remove, { id }), new RegExp(`storage id ${id} not found`));
});

t.check("ids that are none are refused by what they are", async () => {
  const user = await t.http().mutation(userId, {});
  const gone = await mustUpload("x");
  await t.http().mutation(remove, { id: gone });
  const invalid = 'Invalid storage ID: "nonsense". Storage ID should be an Id of \'_storage\' table, or a UUID string.';
  assert.deepEqual(await t.http().mutation(tryAll, { id: "nonsense" }), [invalid, invalid, invalid, invalid]);
  assert.deepEqual(await t.http().mutation(tryAll, { id: gone }), ["null", "null", `storage id ${gone} not found`, "null"]);
  const other = "Invalid storage ID. Storage ID cannot be an ID on any table other than '_storage'.";
  assert.deepEqual(await t.http().mutation(tryAll, { id: user }), [other, other, other, other]);
  const id = await mustUpload("x");
  await assert.rejects(t.http().mutation(writeRow, { id }), /_storage|System tables/);
});

t.check("a mutation stores and reads files, all or none", async () => {
  const http = t.http();
  const { id, ...rest } = await http.mutation(storeInMutation, { text: "grüße" });
  assert.deepEqual(rest, { text: "grüße", type: "text/x-test", filesWritten: 1, fileReadBytes: 7 });
  assert.equal(await (await fetch(await http.query(url, { id }))).text(), "grüße");
  const before = await http.query(count, {});
  const error = await http.mutation(storeInMutation, { text: "x", fail: true }).catch((error) => error);
  const failed = /failed after (\w+)/.exec(error.message)[1];
  assert.equal(await http.query(url, { id: failed }), null);
  await assert.rejects(http.mutation(storeInMutation, { text: "x", sha256: sha256("y") }), /has the SHA-256 digest .* and not/);
  assert.equal(await http.query(count, {}), before);
});

t.check("an action stores and reads files", async () => {
  const { metadata: found, id, url: address, ...rest } = await t.client().action(storeInAction, { bytes: 3_000_000 });
  assert.deepEqual(rest, { size: 3_000_000, type: "application/x-sevens", last: 7 });
  assert.equal(found.size, 3_000_000);
  const bytes = Buffer.from(await (await fetch(address)).arrayBuffer());
  assert.equal(sha256(bytes, "hex"), found.sha256);
  await assert.rejects(t.client().action(storeInAction, { bytes: 10, sha256: sha256("other") }), /has the SHA-256 digest/);
  await t.http().mutation(remove, { id });
  assert.deepEqual(await t.client().action(inAction, { id }), { text: "from an action", gone: null, missing: null });
});

t.check("large files go through in little memory", async () => {
  const part = crypto.randomBytes(1 << 20);
  const parts = 200;
  let at = 0;
  const body = new ReadableStream({
    pull(controller) {
      if (at++ < parts) controller.enqueue(part);
      else controller.close();
    },
  });
  const rss = () => Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${t.hull.child.process.pid}/status`, "utf8"))[1]) * 1024;
  const before = rss();
  let most = 0;
  const timer = setInterval(() => (most = Math.max(most, rss())), 20);
  const id = await mustUpload(body);
  const response = await fetch(await t.http().query(url, { id }));
  let size = 0;
  for await (const chunk of response.body) size += chunk.length;
  clearInterval(timer);
  assert.equal(size, parts << 20);
  assert.ok(most - before < 64 << 20, `${most - before} bytes more for a file of 200 MiB`);
});

t.check("files and documents agree after kill -9 in the middle of uploads", async () => {
  const stored = new Map();
  let stop = false;
  const uploads = Array.from({ length: 4 }, async (_, who) => {
    for (let n = 0; !stop; n++) {
      const body = `${who}-${n}-`.repeat(2_000);
      const answer = await upload(body).catch(() => null);
      if (answer?.status === 200) stored.set(answer.storageId, body);
    }
  });
  await until("some are stored", () => stored.size > 20);
  await t.hull.kill();
  stop = true;
  await Promise.all(uploads);
  await t.hull.restart();
  const http = t.http();
  for (const [id, body] of stored) {
    assert.equal(await (await fetch(await http.query(url, { id }))).text(), body);
  }
  // And the other way round: no row without its bytes.
  for (const id of await http.query(ids, {})) assert.equal((await fetch(await http.query(url, { id }))).status, 200, id);
});
