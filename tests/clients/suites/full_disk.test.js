import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";

import { anyApi } from "convex/server";

import { harness } from "../lib/harness.js";
import { watch } from "../lib/watch.js";

const DISK_BYTES = 32 << 20;
const BALLAST_BYTES = 8 << 20;
const t = harness("basic", { diskBytes: DISK_BYTES });
const { count, send } = anyApi.messages;

t.check("a full disk refuses mutations, serves everything else, and takes them again once there is room", async () => {
  const ballast = path.join(t.hull.seenDataFolder, "ballast");
  fs.writeFileSync(ballast, Buffer.alloc(BALLAST_BYTES));
  const channel = "full";
  const body = "x".repeat(500_000);
  const send1 = () => t.hull.post("/api/mutation", { path: "messages:send", args: { channel, body }, format: "json" });

  const subscription = watch(t.client(), count, { channel });
  let stored = 0;
  let refused;
  while (!refused && stored * body.length < DISK_BYTES) {
    const response = await send1();
    if (response.status === 200) stored += 1;
    else refused = response;
  }
  assert.ok(refused, `${stored} documents fit on a disk that cannot hold them`);
  assert.ok(stored > 0, refused.text);
  assert.equal(refused.status, 503, refused.text);
  assert.equal(refused.json.code, "DiskFull", refused.text);

  // Reads go on, and nothing refused was stored.
  assert.equal(await t.http().query(count, { channel }), stored);
  await subscription.value("what was stored", (n) => n === stored);
  for (let i = 0; i < 3; i += 1) assert.equal((await send1()).status, 503);

  fs.rmSync(ballast);
  // The client waits and sends again by itself.
  await t.client().mutation(send, { channel, body });
  await subscription.value("the one sent with room again", (n) => n === stored + 1);

  await t.hull.kill();
});
