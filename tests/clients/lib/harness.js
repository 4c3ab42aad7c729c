import { after, before, test } from "node:test";

import { ConvexClient, ConvexHttpClient } from "convex/browser";

import { Hull } from "./hull.js";
import { Project } from "./project.js";
import { within } from "./until.js";
import { Wire } from "./wire.js";

const SHOWN_LOG_LINES = 60;

/**
 * One server and one pushed app for a whole test file. `prepare` and `dispose`
 * run after the server has started and before it stops. `diskBytes` gives the
 * server a disk of its own of that size.
 *
 *     const t = harness("basic");
 *     t.check("inserts are seen", async () => { … t.client() … });
 */
export function harness(app = "basic", { push = true, prepare, dispose, diskBytes } = {}) {
  const context = new Harness(app);
  // One hook, as hooks at the top of a file do not wait for each other.
  before(async () => {
    await context.showingLogs(async () => {
      context.hull = await Hull.start({ diskBytes });
      context.project = new Project(app, context.hull);
      if (push) await context.project.deploy();
      await prepare?.(context);
    });
  }, { timeout: 300_000 });
  after(async () => {
    await dispose?.(context);
    if (!context.hull) return;
    try {
      await context.showingLogs(() => context.hull.stop());
    } finally {
      await context.hull.kill();
    }
  }, { timeout: 30_000 });
  return context;
}

class Harness {
  #opened = [];

  /** Processes beside the server whose output matters when a test fails. */
  beside = [];

  constructor(app) {
    this.app = app;
  }

  /** A test with a hard limit that prints the server's log when it fails. */
  check(name, body, { timeoutMs = 120_000 } = {}) {
    test(name, { timeout: timeoutMs + 10_000 }, async () => {
      await this.showingLogs(async () => {
        try {
          await within(name, timeoutMs, Promise.resolve().then(body));
        } finally {
          for (const close of this.#opened.splice(0)) await close();
        }
      });
    });
  }

  async showingLogs(body) {
    try {
      return await body();
    } catch (error) {
      this.#show("server log", this.hull?.log ?? "(no server)");
      for (const child of this.beside) this.#show(child.command, child.output);
      throw error;
    }
  }

  #show(title, text) {
    const lines = text.split("\n").slice(-SHOWN_LOG_LINES).join("\n");
    console.error(`--- ${title} ---\n${lines}\n--- end of ${title} ---`);
  }

  /** An official WebSocket client, closed when the test ends. */
  client({ url = this.hull.url, ...options } = {}) {
    const client = new ConvexClient(url, { skipConvexDeploymentUrlCheck: true, logger: false, ...options });
    this.#opened.push(() => client.close());
    return client;
  }

  /** An official HTTP client. */
  http() {
    return new ConvexHttpClient(this.hull.url, { skipConvexDeploymentUrlCheck: true, logger: false });
  }

  /** A bare WebSocket that speaks whatever the test wants. */
  async wire(route) {
    const wire = await Wire.open(this.hull, route);
    this.#opened.push(() => wire.close());
    return wire;
  }

  /** Closes something when the test ends. */
  closing(close) {
    this.#opened.push(close);
  }
}
