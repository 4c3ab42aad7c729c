import assert from "node:assert/strict";
import fs from "node:fs";

import { anyApi } from "convex/server";

import { harness } from "../lib/harness.js";
import { until } from "../lib/until.js";

const t = harness();
const { inOrder } = anyApi.entries;
const runs = async (list) => (await t.http().query(inOrder, { list })).length;

/** Pushes `crons.ts` with these jobs. */
async function push(...jobs) {
  t.project.write(
    "convex/crons.ts",
    `import { cronJobs } from "convex/server";
import { internal } from "./_generated/api";
const crons = cronJobs();
${jobs.map((job) => `crons.${job};`).join("\n")}
export default crons;
`,
  );
  return await t.project.convex(["deploy", "-y", "--typecheck", "disable"]);
}
const insert = (name, every, list) =>
  `interval("${name}", ${every}, internal.actions.insert, { list: "${list}", n: 1 })`;

t.check("an interval begins with the push and goes on, for mutations and actions", async () => {
  const pushed = await push(
    insert("by mutation", "{ seconds: 1 }", "mutation"),
    'interval("by action", { seconds: 1 }, internal.scheduled.recordByAction, { list: "action", n: 1 })',
    'interval("fails", { seconds: 1 }, internal.scheduled.fails, { list: "fails" })',
    insert("seldom", "{ hours: 5 }", "seldom"),
  );
  assert.equal(pushed.code, 0, pushed.output);
  await until("three runs of each", async () => (await runs("mutation")) >= 3 && (await runs("action")) >= 3);
  assert.equal(await runs("seldom"), 1);
  assert.equal(await runs("fails"), 0);
});

t.check("jobs go on after kill -9, and are neither doubled nor begun anew by a push that leaves them alone", async () => {
  const before = await runs("mutation");
  await t.hull.kill();
  await t.hull.restart();
  await until("another run", async () => (await runs("mutation")) > before);
  const { code } = await push(insert("by mutation", "{ seconds: 1 }", "mutation"), insert("seldom", "{ hours: 5 }", "seldom"));
  assert.equal(code, 0);
  assert.equal(await runs("seldom"), 1);
});

t.check("a job that changes runs by its new schedule, one that is gone does not", async () => {
  const { code } = await push(insert("seldom", "{ seconds: 1 }", "seldom"));
  assert.equal(code, 0);
  await until("the changed one", async () => (await runs("seldom")) >= 3);
  const before = await runs("mutation");
  const others = await runs("seldom");
  await until("two more of the other", async () => (await runs("seldom")) >= others + 2);
  assert.equal(await runs("mutation"), before);
  fs.rmSync(t.project.file("convex/crons.ts"));
  await t.project.deploy();
});

t.check("every kind of schedule is accepted, and what makes no sense is refused", async () => {
  const at = "internal.actions.insert, { list: \"never\", n: 1 })";
  const accepted = await push(
    `hourly("a", { minuteUTC: 17 }, ${at}`,
    `daily("b", { hourUTC: 17, minuteUTC: 30 }, ${at}`,
    `weekly("c", { dayOfWeek: "tuesday", hourUTC: 17, minuteUTC: 30 }, ${at}`,
    `monthly("d", { day: 31, hourUTC: 16, minuteUTC: 0 }, ${at}`,
    `cron("e", "0 16 1 * *", ${at}`,
    `cron("f", "*/15 9-17 * JAN-MAR MON-FRI", ${at}`,
  );
  assert.equal(accepted.code, 0, accepted.output);
  assert.equal(await runs("never"), 0);
  for (const [job, text] of [
    [`cron("x", "0 0 30 2 *", ${at}`, /will never match any time/],
    [`cron("x", "0 0 * *", ${at}`, /must have five fields/],
    [`interval("x", { seconds: 0 } as any, ${at}`, /greater than 0|must be/],
  ]) {
    const refused = await push(job);
    assert.equal(refused.code, 1);
    assert.match(refused.output, text);
  }
});
