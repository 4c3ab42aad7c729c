import assert from "node:assert/strict";

import { launchBrowser } from "../lib/browser.js";
import { channels, copyChat, heard, hears, join, say } from "../lib/chat.js";
import { harness } from "../lib/harness.js";
import { freePort } from "../lib/ports.js";
import { Child } from "../lib/process.js";
import { until } from "../lib/until.js";

const t = harness("basic", { push: false, prepare, dispose });
let browser, watcher, web, url;

/** The example's functions, pushed and watched by the CLI, and its page. */
async function prepare() {
  t.project.folder = copyChat();
  watcher = t.project.start(["dev", "--tail-logs", "disable"]);
  t.beside.push(watcher);
  await watcher.printed(/Convex functions ready!/);
  const port = await freePort();
  const vite = t.project.file("node_modules/vite/bin/vite.js");
  web = new Child(process.execPath, [vite, "--host", "127.0.0.1", "--port", String(port), "--strictPort"], {
    cwd: t.project.folder,
    env: { PATH: process.env.PATH, HOME: t.project.folder, NO_COLOR: "1", VITE_CONVEX_URL: t.hull.url },
  });
  t.beside.push(web);
  url = `http://127.0.0.1:${port}`;
  await until("the page", async () => (await fetch(url)).ok);
  browser = await launchBrowser();
}

async function dispose() {
  await browser?.close();
  for (const child of [web, watcher]) {
    child?.signal("SIGKILL");
    await child?.exited;
  }
}

/** A page of its own user, that must never be reloaded. */
async function open(name) {
  const context = await browser.newContext();
  context.setDefaultTimeout(30_000);
  t.closing(() => context.close());
  const page = await context.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(error));
  await join(page, url, name);
  await page.evaluate(() => (window.sameDocument = true));
  return {
    page,
    async check() {
      assert.equal(await page.evaluate(() => window.sameDocument), true, "the page was reloaded");
      assert.deepEqual(errors, []);
    },
  };
}

t.check("what one page sends the other shows, without a reload", async () => {
  const [grace, mateo] = [await open("Grace"), await open("Mateo")];
  await say(grace.page, "Hello from Grace");
  await hears(mateo.page, "Hello from Grace");
  await say(mateo.page, "Hello back");
  await hears(grace.page, "Hello back");
  assert.deepEqual(await heard(grace.page), await heard(mateo.page));
  await grace.check();
  await mateo.check();
});

t.check("a sent message shows at once, before the server has answered", async () => {
  const { page, check } = await open("Hasty");
  t.hull.child.kill("SIGSTOP");
  try {
    await say(page, "Optimistic");
    await page.locator("li.message.pending", { hasText: "Optimistic" }).waitFor();
  } finally {
    t.hull.child.kill("SIGCONT");
  }
  await hears(page, "Optimistic");
  await check();
});

t.check("a ConvexError is shown in the page and gives the text back", async () => {
  const { page, check } = await open("Verbose");
  const long = "x".repeat(501);
  await say(page, long);
  await page.getByRole("alert").getByText("501 characters are 1 too many.").waitFor();
  assert.equal(await page.getByRole("textbox", { name: /^Message #/ }).inputValue(), long);

  await page.getByRole("link", { name: "slow-lane" }).click();
  await page.getByRole("heading", { name: "slow-lane" }).waitFor();
  await say(page, "one");
  await hears(page, "one");
  await say(page, "two");
  await page.getByRole("alert").getByText(/Slow mode: you can write again in \d+ s\./).waitFor();
  assert.deepEqual(await heard(page), ["one"]);
  await check();
});

/** Calls a mutation over HTTP, from outside of the browser. */
async function mutate(path, args) {
  const { json } = await t.hull.post("/api/mutation", { path, args });
  assert.equal(json.status, "success", JSON.stringify(json));
  return json.value;
}

t.check("earlier messages load page by page, and a page that grows is kept whole", async () => {
  const channelId = await mutate("channels:create", { name: "history" });
  const lines = Array.from({ length: 110 }, (_, n) => `line ${n}`);
  const write = (body) => mutate("messages:send", { channelId, author: "Scribe", body });
  for (const line of lines.slice(0, 70)) await write(line);

  const { page, check } = await open("Reader");
  await page.getByRole("link", { name: "history" }).click();
  await hears(page, "line 69");
  assert.deepEqual(await heard(page), lines.slice(40, 70));
  for (const count of [60, 70]) {
    await page.getByRole("button", { name: "Earlier messages" }).click();
    await until(`${count} messages`, async () => (await heard(page)).length === count);
  }
  await page.getByText("This is where #history begins.").waitFor();

  // Past twice its size the client splits the first page in two.
  for (const line of lines.slice(70)) await write(line);
  await hears(page, "line 109");
  assert.deepEqual(await heard(page), lines);
  await check();
});

t.check("an edited function changes the open page, without a reload", async () => {
  const { page, check } = await open("Editor");
  const before = await channels(page);
  t.project.edit("convex/channels.ts", '.withIndex("by_name").take', '.withIndex("by_name").order("desc").take');
  await until(
    "the channels in reverse order",
    async () => JSON.stringify(await channels(page)) === JSON.stringify([...before].reverse()),
    { timeoutMs: 60_000, everyMs: 100 },
  );
  await check();
});

for (const [name, end] of [
  ["a restart", () => t.hull.stop()],
  ["kill -9", () => t.hull.kill()],
]) {
  t.check(`pages recover from ${name} by themselves and lose nothing`, async () => {
    const [grace, mateo] = [await open("Grace"), await open("Mateo")];
    await say(grace.page, `before ${name}`);
    await hears(mateo.page, `before ${name}`);

    await end();
    await grace.page.getByRole("status").getByText("Reconnecting").waitFor();
    await say(grace.page, `during ${name}`);
    await grace.page.locator("li.message.pending", { hasText: `during ${name}` }).waitFor();
    await t.hull.restart();

    await hears(mateo.page, `during ${name}`);
    await hears(grace.page, `during ${name}`);
    await say(mateo.page, `after ${name}`);
    await hears(grace.page, `after ${name}`);
    const about = (await heard(grace.page)).filter((text) => text.endsWith(name));
    assert.deepEqual(about, [`before ${name}`, `during ${name}`, `after ${name}`]);
    await grace.check();
    await mateo.check();
  });
}
