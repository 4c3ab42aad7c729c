import { spawn } from "node:child_process";
import { once } from "node:events";

import { until } from "./until.js";

const KEPT_LINES = 5_000;
const running = new Set();

// A suite that ends early must not leave servers behind.
process.on("exit", () => {
  for (const child of running) child.signal("SIGKILL");
});
for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143]]) {
  process.once(signal, () => process.exit(code));
}

/** A child process whose output is kept, in a process group of its own. */
export class Child {
  constructor(command, args, options = {}) {
    this.command = [command, ...args].join(" ");
    this.lines = [];
    this.partial = "";
    this.process = spawn(command, args, {
      ...options,
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    this.stdout = "";
    this.process.stdout.on("data", (data) => {
      if (this.stdout.length < 4_000_000) this.stdout += data;
      this.#keep(data);
    });
    this.process.stderr.on("data", (data) => this.#keep(data));
    running.add(this);
    this.exited = once(this.process, "close").then(
      ([code, signal]) => {
        running.delete(this);
        this.result = { code, signal };
        return this.result;
      },
      (error) => {
        running.delete(this);
        this.lines.push(String(error));
        this.result = { code: null, signal: null, error };
        return this.result;
      },
    );
  }

  #keep(data) {
    const lines = (this.partial + data).split("\n");
    this.partial = lines.pop();
    this.lines.push(...lines);
    if (this.lines.length > KEPT_LINES) this.lines.splice(0, this.lines.length - KEPT_LINES);
  }

  get output() {
    return [...this.lines, this.partial].join("\n");
  }

  /** Sends a signal to the process alone. */
  kill(signal) {
    this.process.kill(signal);
  }

  /** Sends a signal to the process and all it started. */
  signal(signal) {
    if (this.process.pid === undefined) return;
    try {
      process.kill(-this.process.pid, signal);
    } catch (error) {
      if (error.code !== "ESRCH") throw error;
    }
  }

  /** Waits until the output contains `pattern`, and returns the match. */
  async printed(pattern, { timeoutMs = 120_000, after = 0 } = {}) {
    return await until(
      `${this.command} to print ${pattern}`,
      () => {
        const text = this.output.slice(after);
        const match = typeof pattern === "string" ? text.includes(pattern) : text.match(pattern);
        if (match) return match;
        if (this.result) {
          throw Object.assign(
            new Error(`${this.command} ended (${JSON.stringify(this.result)}) without printing ${pattern}:\n${this.output}`),
            { fatal: true },
          );
        }
        return false;
      },
      { timeoutMs },
    );
  }
}
