import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";

import { temporaryFolder } from "./temporary.js";

const source = path.join(import.meta.dirname, "..", "..", "..", "examples", "chat");

/** A copy of examples/chat, installed packages included, to be edited and served. */
export function copyChat() {
  if (!fs.existsSync(path.join(source, "node_modules"))) {
    throw new Error("examples/chat has no node_modules: run `npm ci` there or `cargo xtask test`");
  }
  const folder = path.join(temporaryFolder("chat"), "chat");
  // Hard links: thousands of files in a moment, and real paths for Vite.
  execFileSync("cp", ["-al", source, folder]);
  for (const name of [".env.local", ".hull", "dist", "node_modules/.vite"]) {
    fs.rmSync(path.join(folder, name), { recursive: true, force: true });
  }
  // What is edited or written must not be linked to the original.
  for (const name of fs.readdirSync(folder)) {
    if (name === "node_modules") continue;
    fs.rmSync(path.join(folder, name), { recursive: true });
    fs.cpSync(path.join(source, name), path.join(folder, name), { recursive: true });
  }
  return folder;
}

/** Joins the chat as `name` on an open page. */
export async function join(page, url, name) {
  await page.goto(url);
  await page.getByLabel("Your name").fill(name);
  await page.getByRole("button", { name: "Start chatting" }).click();
  await page.getByRole("status").getByText("Live").waitFor();
  await page.getByRole("link", { name: "general" }).waitFor();
  // What is said before the channel's messages are there has no list to show up in.
  await page.locator('.messages[aria-busy="false"]').waitFor();
}

export async function say(page, text) {
  await page.getByRole("textbox", { name: /^Message #/ }).fill(text);
  await page.keyboard.press("Enter");
}

/** Waits until the page shows a message that the server has confirmed. */
export async function hears(page, text) {
  await page.locator("li.message:not(.pending)", { hasText: text }).first().waitFor();
}

/** The confirmed messages of the open channel, oldest first. */
export async function heard(page) {
  return await page.locator("li.message:not(.pending) .body").allTextContents();
}

/** The channels in the order in which the page shows them. */
export async function channels(page) {
  return (await page.locator("nav a").allTextContents()).map((name) => name.replace("#", ""));
}
