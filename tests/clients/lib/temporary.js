import fs from "node:fs";
import path from "node:path";

const root = path.join(import.meta.dirname, "..", ".tmp");
const made = [];

// Kept after a failure, so that one can look inside.
process.on("exit", (code) => {
  if (code !== 0) return;
  for (const folder of made) fs.rmSync(folder, { recursive: true, force: true });
});

/**
 * A new folder inside the test package, so that Node and esbuild find the
 * package's node_modules from there.
 */
export function temporaryFolder(name) {
  fs.mkdirSync(root, { recursive: true });
  const folder = fs.mkdtempSync(path.join(root, `${name}-`));
  made.push(folder);
  return folder;
}
