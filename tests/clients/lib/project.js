import fs from "node:fs";
import path from "node:path";

import { Child } from "./process.js";
import { temporaryFolder } from "./temporary.js";
import { within } from "./until.js";

const packageFolder = path.join(import.meta.dirname, "..");
const cli = path.join(packageFolder, "node_modules", "convex", "bin", "main.js");

/** A copy of a fixture app, driven by the official CLI. */
export class Project {
  constructor(app, hull) {
    this.hull = hull;
    this.folder = temporaryFolder(app);
    fs.cpSync(path.join(packageFolder, "apps", app), this.folder, { recursive: true });
  }

  file(name) {
    return path.join(this.folder, name);
  }

  write(name, text) {
    fs.mkdirSync(path.dirname(this.file(name)), { recursive: true });
    fs.writeFileSync(this.file(name), text);
  }

  /** Replaces text in a file; the text must be there. */
  edit(name, from, to) {
    const text = fs.readFileSync(this.file(name), "utf8");
    if (!text.includes(from)) throw new Error(`${name} does not contain ${from}`);
    fs.writeFileSync(this.file(name), text.replace(from, to));
  }

  /** Starts `npx convex ARGS` and returns the process. */
  start(args, { env = {} } = {}) {
    return new Child(process.execPath, [cli, ...args], { cwd: this.folder, env: this.#environment(env) });
  }

  /** Runs `npx convex ARGS` to its end. */
  async convex(args, { timeoutMs = 120_000, env } = {}) {
    const child = this.start(args, { env });
    try {
      const { code } = await within(`convex ${args.join(" ")}`, timeoutMs, child.exited);
      return { code, stdout: child.stdout, output: child.output };
    } catch (error) {
      child.signal("SIGKILL");
      error.message += `\n${child.output}`;
      throw error;
    }
  }

  /** The same, failing unless it exits with 0. */
  async mustConvex(args, options) {
    const result = await this.convex(args, options);
    if (result.code !== 0) {
      throw new Error(`convex ${args.join(" ")} exited with ${result.code}:\n${result.output}`);
    }
    return result;
  }

  async deploy() {
    return await this.mustConvex(["deploy", "-y", "--typecheck", "disable"]);
  }

  /** Only what the CLI needs: no account, no keys, no proxies of this machine's user. */
  #environment(extra) {
    return {
      PATH: process.env.PATH,
      HOME: temporaryHome(),
      // Turns off prompts, telemetry and version checks.
      CI: "1",
      FORCE_COLOR: "0",
      CONVEX_SELF_HOSTED_URL: this.hull.url,
      CONVEX_SELF_HOSTED_ADMIN_KEY: this.hull.adminKey,
      ...extra,
    };
  }
}

let home;

function temporaryHome() {
  home ??= temporaryFolder("home");
  return home;
}
