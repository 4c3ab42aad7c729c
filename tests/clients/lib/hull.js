import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { promisify } from "node:util";

import { freePort } from "./ports.js";
import { Child } from "./process.js";
import { temporaryFolder } from "./temporary.js";
import { until, within } from "./until.js";

const STARTS_IN_MS = 20_000;
const STOPS_IN_MS = 10_000;

/** The binary under test. */
export function hullBinary() {
  const binary = process.env.HULL_BIN;
  if (!binary) throw new Error("HULL_BIN is not set: run these tests through `cargo xtask test`");
  if (!fs.existsSync(binary)) throw new Error(`HULL_BIN names a file that does not exist: ${binary}`);
  return path.resolve(binary);
}

/** One `hull serve` process with its own data folder, ports, name and key. */
export class Hull {
  /** `diskBytes` puts the data on a disk of its own of that size. */
  static async start({ diskBytes } = {}) {
    const hull = new Hull();
    hull.diskBytes = diskBytes;
    hull.instanceName = `test-${randomBytes(4).toString("hex")}`;
    hull.instanceSecret = randomBytes(32).toString("hex");
    hull.dataFolder = temporaryFolder("data");
    hull.history = [];
    hull.adminKey = await hull.#makeAdminKey();
    for (let attempt = 1; ; attempt += 1) {
      hull.port = await freePort();
      hull.sitePort = await freePort();
      try {
        await hull.restart();
        return hull;
      } catch (error) {
        // Another process may have taken a port since it was found free.
        if (attempt === 3 || !/address.*in use|port.*(taken|in use)/i.test(hull.log)) throw error;
      }
    }
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  get siteUrl() {
    return `http://127.0.0.1:${this.sitePort}`;
  }

  get databasePath() {
    return path.join(this.dataFolder, "hull.sqlite3");
  }

  /** The folder of the data as the server sees it. */
  get seenDataFolder() {
    return path.join("/proc", String(this.child.process.pid), "root", this.dataFolder);
  }

  /** What the server has written since the beginning, restarts included. */
  get log() {
    return [...this.history, this.child?.output ?? ""].join("\n--- restarted ---\n");
  }

  async #makeAdminKey() {
    const { stdout } = await promisify(execFile)(hullBinary(), [
      "keygen", "admin-key",
      "--instance-name", this.instanceName,
      "--instance-secret", this.instanceSecret,
    ]);
    return stdout.trim();
  }

  /** Starts the process, again on the same data and ports if it ran before. */
  async restart() {
    if (this.child) {
      if (!this.child.result) throw new Error("restart: the server still runs");
      this.history.push(this.child.output);
    }
    // The disk is in memory, and only the server and its namespace see it.
    const onOwnDisk = `mount -t tmpfs -o size=${this.diskBytes} none "$0" && exec "$@"`;
    const [command, ...wrapped] = this.diskBytes
      ? ["unshare", "--map-root-user", "--mount", "sh", "-c", onOwnDisk, this.dataFolder, hullBinary()]
      : [hullBinary()];
    this.child = new Child(command, [
      ...wrapped,
      "serve",
      "--interface", "127.0.0.1",
      "--port", String(this.port),
      "--site-proxy-port", String(this.sitePort),
      "--instance-name", this.instanceName,
      "--instance-secret", this.instanceSecret,
      "--local-storage", path.join(this.dataFolder, "storage"),
      this.databasePath,
    ]);
    await until(
      `${this.url}/instance_name to answer ${this.instanceName}`,
      async () => {
        if (this.child.result) {
          throw Object.assign(new Error(`the server ended while starting:\n${this.child.output}`), { fatal: true });
        }
        const response = await fetch(`${this.url}/instance_name`);
        return (await response.text()) === this.instanceName;
      },
      { timeoutMs: STARTS_IN_MS },
    );
  }

  /** Asks the process to end and checks that it does, cleanly and soon, with the data in one closed file. */
  async stop() {
    if (this.child.result) return;
    this.child.kill("SIGTERM");
    const { code, signal } = await within("shutdown after SIGTERM", STOPS_IN_MS, this.child.exited);
    if (code !== 0) throw new Error(`SIGTERM ended the server with code ${code}, signal ${signal}`);
    const open = ["-wal", "-shm"].filter((extra) => fs.existsSync(this.databasePath + extra));
    if (open.length > 0) throw new Error(`SIGTERM left the database open: ${open.join(" and ")} remain`);
  }

  /** kill -9. */
  async kill() {
    this.child?.kill("SIGKILL");
    await this.child?.exited;
  }

  /** Calls an HTTP API route and returns status, headers and body. */
  async post(route, body, headers = {}) {
    const response = await fetch(this.url + route, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...headers },
      body: typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body),
    });
    const text = await response.text();
    let json;
    try {
      json = JSON.parse(text);
    } catch {
      json = undefined;
    }
    return { status: response.status, headers: response.headers, text, json };
  }

  get adminHeader() {
    return { Authorization: `Convex ${this.adminKey}` };
  }
}
