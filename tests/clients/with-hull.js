// Runs a command against a server with the fixture app pushed:
//
//     node with-hull.js COMMAND [ARGS…]
//
// The command finds HULL_URL and HULL_ADMIN_KEY in its environment. The exit
// code is the command's; the server's log is printed when that is not 0.

import { spawn } from "node:child_process";
import { once } from "node:events";

import { Hull } from "./lib/hull.js";
import { Project } from "./lib/project.js";

const [command, ...args] = process.argv.slice(2);
if (!command) {
  console.error("usage: node with-hull.js COMMAND [ARGS…]");
  process.exit(2);
}

let hull;
try {
  hull = await Hull.start();
  await new Project("basic", hull).deploy();
  const child = spawn(command, args, {
    stdio: ["ignore", "inherit", "inherit"],
    env: { ...process.env, HULL_URL: hull.url, HULL_ADMIN_KEY: hull.adminKey },
  });
  const [code] = await once(child, "exit");
  process.exitCode = code ?? 1;
  await hull.stop();
} catch (error) {
  console.error(error);
  process.exitCode = 1;
}
if (process.exitCode !== 0 && hull) {
  console.error(`--- server log ---\n${hull.log}\n--- end of server log ---`);
}
process.exit();
