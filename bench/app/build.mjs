// Bundles the functions with the settings of the convex CLI (convex 1.48.0):
//
//     node build.mjs OUT
//
// OUT/app gets the functions of convex/, OUT/wide an app of 100 small modules.
import fs from "node:fs";
import path from "node:path";

import esbuild from "esbuild";

const WIDE_MODULES = 100;

const here = import.meta.dirname;
const out = process.argv[2];
if (!out) throw new Error("usage: node build.mjs OUT");
fs.rmSync(out, { recursive: true, force: true });

const common = {
  bundle: true,
  platform: "browser",
  format: "esm",
  target: "esnext",
  jsx: "automatic",
  conditions: ["convex", "module"],
  sourcemap: true,
  sourcesContent: false,
  chunkNames: "_deps/[hash]",
  treeShaking: true,
  minifySyntax: true,
  minifyIdentifiers: true,
  minifyWhitespace: false,
  keepNames: true,
  define: { "process.env.NODE_ENV": '"production"' },
  nodePaths: [path.join(here, "node_modules")],
  logLevel: "warning",
};

async function bundle(source, name) {
  const entries = fs
    .readdirSync(source)
    .filter((file) => file.endsWith(".ts"))
    .map((file) => path.join(source, file));
  const isSchema = (file) => path.basename(file) === "schema.ts";
  const places = { outbase: source, outdir: path.join(out, name) };
  await esbuild.build({
    ...common,
    ...places,
    entryPoints: entries.filter((file) => !isSchema(file)),
    splitting: true,
  });
  await esbuild.build({ ...common, ...places, entryPoints: entries.filter(isSchema), splitting: false });
}

await bundle(path.join(here, "convex"), "app");

const wide = path.join(out, "wide-source");
fs.mkdirSync(wide, { recursive: true });
for (let i = 0; i < WIDE_MODULES; i += 1) {
  fs.writeFileSync(
    path.join(wide, `module${i}.ts`),
    `import { mutationGeneric, queryGeneric } from "convex/server";
import { v } from "convex/values";

export const list = queryGeneric({
  args: { group: v.number() },
  handler: async (ctx, args) =>
    await ctx.db.query("items${i}").filter((q) => q.eq(q.field("group"), args.group)).take(${i + 1}),
});

export const add = mutationGeneric({
  args: { group: v.number(), body: v.string() },
  returns: v.id("items${i}"),
  handler: async (ctx, args) => await ctx.db.insert("items${i}", args),
});
`,
  );
}
await bundle(wide, "wide");
