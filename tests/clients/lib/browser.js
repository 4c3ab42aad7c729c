import fs from "node:fs";

import { chromium } from "playwright-core";

const executablePath = process.env.CHROMIUM_BIN ?? "/usr/bin/chromium";

/** Debian's Chromium, kept from calling anywhere but the pages it is shown. */
export async function launchBrowser() {
  if (!fs.existsSync(executablePath)) {
    throw new Error(`${executablePath} is missing: install Debian's chromium or run \`cargo xtask test\``);
  }
  return await chromium.launch({
    executablePath,
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}
