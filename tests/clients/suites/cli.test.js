import assert from "node:assert/strict";
import fs from "node:fs";

import { harness } from "../lib/harness.js";
import { Project } from "../lib/project.js";

const t = harness("basic", { push: false });

t.check("dev --once pushes the app with its schema and indexes, types it, and writes the URL", async () => {
  const { output } = await t.project.mustConvex(["dev", "--once"]);
  assert.match(output, /messages\.by_channel/);
  assert.match(output, /entries\.by_list/);
  assert.match(output, /Convex functions ready!/);
  for (const file of ["api.d.ts", "api.js", "dataModel.d.ts", "server.d.ts", "server.js"]) {
    assert.ok(fs.existsSync(t.project.file(`convex/_generated/${file}`)), file);
  }
  assert.match(fs.readFileSync(t.project.file(".env.local"), "utf8"), new RegExp(`^CONVEX_URL=${t.hull.url}$`, "m"));
});

t.check("a second dev --once and a deploy of the same code change nothing", async () => {
  const again = await t.project.mustConvex(["dev", "--once"]);
  assert.doesNotMatch(again.output, /\[\+\]|\[-\]/);
  const deployed = await t.project.mustConvex(["deploy", "-y"]);
  assert.match(deployed.output, /Deployed Convex functions to/);
});

t.check("deploy --dry-run changes nothing", async () => {
  t.project.edit("convex/live.ts", '"first"', '"dry"');
  await t.project.mustConvex(["deploy", "-y", "--dry-run"]);
  const { stdout } = await t.project.mustConvex(["run", "live:version"]);
  assert.match(stdout, /"first"/);
  t.project.edit("convex/live.ts", '"dry"', '"first"');
});

t.check("deploy --cmd passes the URL to the build", async () => {
  const command = `node -e "console.log('built for ' + process.env.CONVEX_URL)"`;
  const { output } = await t.project.mustConvex(["deploy", "-y", "--typecheck", "disable", "--cmd", command]);
  assert.match(output, new RegExp(`built for ${t.hull.url}`));
});

t.check("codegen writes the types and leaves the deployment alone", async () => {
  fs.rmSync(t.project.file("convex/_generated"), { recursive: true });
  t.project.edit("convex/live.ts", '"first"', '"only generated"');
  await t.project.mustConvex(["codegen"]);
  assert.match(fs.readFileSync(t.project.file("convex/_generated/api.d.ts"), "utf8"), /live: typeof live/);
  const { stdout } = await t.project.mustConvex(["run", "live:version"]);
  assert.match(stdout, /"first"/);
  t.project.edit("convex/live.ts", '"only generated"', '"first"');
  // What codegen left unfinished does not stand in the way of a push.
  await t.project.mustConvex(["dev", "--once", "--typecheck", "disable"]);
});

t.check("static codegen gets full types from the server's analysis", async () => {
  t.project.write("convex.json", JSON.stringify({ codegen: { staticApi: true, staticDataModel: true } }));
  await t.project.mustConvex(["codegen"]);
  const api = fs.readFileSync(t.project.file("convex/_generated/api.d.ts"), "utf8");
  assert.match(api, /FunctionReference<\s*"query",\s*"public",\s*\{\s*channel: string;?\s*\}/);
  const dataModel = fs.readFileSync(t.project.file("convex/_generated/dataModel.d.ts"), "utf8");
  assert.match(dataModel, /by_channel: \["channel", "_creationTime"\]/);
  fs.rmSync(t.project.file("convex.json"));
});

t.check("run calls queries, mutations and internal functions", async () => {
  const sent = await t.project.mustConvex(["run", "messages:send", '{"channel":"cli","body":"from the shell"}']);
  assert.match(sent.stdout, /^"[0-9a-z]{30,36}"\n$/);
  const listed = await t.project.mustConvex(["run", "messages:list", '{"channel":"cli"}']);
  assert.deepEqual(JSON.parse(listed.stdout), ["from the shell"]);
  const secret = await t.project.mustConvex(["run", "errors:secretQuery"]);
  assert.match(secret.stdout, /"secret"/);
});

t.check("run of what fails or does not exist exits with 1 and says why", async () => {
  const failed = await t.project.convex(["run", "errors:plainError"]);
  assert.equal(failed.code, 1);
  assert.match(failed.output, /Uncaught TypeError: boom/);
  const missing = await t.project.convex(["run", "messages:nope"]);
  assert.equal(missing.code, 1);
  assert.match(missing.output, /Could not find function/);
  assert.match(missing.output, /messages:list/, "the CLI lists what there is");
  const wrong = await t.project.convex(["run", "errors:needsNumber", '{"n":"x"}']);
  assert.equal(wrong.code, 1);
  assert.match(wrong.output, /ArgumentValidationError/);
});

t.check("env set, get, list and remove", async () => {
  await t.project.mustConvex(["env", "set", "SAIL", "up"]);
  await t.project.mustConvex(["env", "set", "ANCHOR=down"]);
  assert.equal((await t.project.mustConvex(["env", "get", "SAIL"])).stdout, "up\n");
  assert.deepEqual((await t.project.mustConvex(["env", "list"])).stdout.trim().split("\n"), ["ANCHOR=down", "SAIL=up"]);
  await t.project.mustConvex(["env", "remove", "SAIL"]);
  await t.project.mustConvex(["env", "remove", "ANCHOR"]);
  const gone = await t.project.mustConvex(["env", "get", "SAIL"]);
  assert.equal(gone.stdout, "");
  assert.match(gone.output, /"SAIL" not found/);
  const bad = await t.project.convex(["env", "set", "2BAD", "x"]);
  assert.equal(bad.code, 1);
  assert.match(bad.output, /EnvironmentVariableNameInvalid/);
});

t.check("data lists tables and rows", async () => {
  await t.project.mustConvex(["run", "messages:sendMany", '{"channel":"data","from":0,"to":3}']);
  const tables = (await t.project.mustConvex(["data"])).stdout;
  assert.match(tables, /^entries\nmessages\nvalues$/m);
  const rows = (await t.project.mustConvex(["data", "messages", "--limit", "2", "--format", "jsonLines"])).stdout;
  assert.deepEqual(rows.trim().split("\n").map((line) => JSON.parse(line).body), ["2", "1"]);
});

t.check("function-spec describes every function", async () => {
  const { url, functions } = JSON.parse((await t.project.mustConvex(["function-spec"])).stdout);
  assert.equal(url, t.hull.url);
  const byName = Object.fromEntries(functions.map((f) => [f.identifier, f]));
  assert.equal(byName["messages.js:send"].functionType, "Mutation");
  assert.deepEqual(byName["messages.js:send"].returns, { type: "id", tableName: "messages" });
  assert.deepEqual(byName["errors.js:secretQuery"].visibility, { kind: "internal" });
  assert.equal(byName["errors.js:needsNumber"].args.value.n.fieldType.type, "number");
});

t.check("logs streams what functions print", async () => {
  const logs = t.project.start(["logs", "--history", "50"]);
  t.closing(async () => {
    logs.signal("SIGKILL");
    await logs.exited;
  });
  await logs.printed(/Watching logs/);
  await t.project.mustConvex(["run", "settings:logged", '{"word":"streamed"}']);
  await logs.printed(/\[CONVEX Q\(settings:logged\)\].*\[LOG\].*'said' 'streamed'/);
});

t.check("a wrong admin key is refused with exit code 1", async () => {
  const { code, output } = await t.project.convex(["deploy", "-y"], {
    env: { CONVEX_SELF_HOSTED_ADMIN_KEY: `${t.hull.instanceName}|01abcdef` },
  });
  assert.equal(code, 1);
  assert.match(output, /BadAdminKey/);
});

t.check("what is not built yet is refused by name", async () => {
  const project = new Project("basic", t.hull);
  project.write("convex/node.ts", '"use node";\nimport { internalAction } from "./_generated/server";\nexport const run = internalAction({ args: {}, handler: async () => process.version });\n');
  const { code, output } = await project.convex(["deploy", "-y", "--typecheck", "disable"]);
  assert.equal(code, 1);
  assert.match(output, /400 Bad Request/);
  assert.match(output, /[Nn]ode/);
});
