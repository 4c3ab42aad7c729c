import assert from "node:assert/strict";

/** A value with ids by their numbers and without creation times, whose text says all of it. */
export function shown(value, ids) {
  const show = (value) => {
    if (value === undefined) return "undefined";
    if (typeof value === "bigint") return `${value}n`;
    if (typeof value === "number") return Object.is(value, -0) ? "-0" : String(value);
    if (typeof value === "string") {
      const at = ids.indexOf(value);
      return at < 0 ? JSON.stringify(value) : `#${at}`;
    }
    if (value instanceof ArrayBuffer) return `bytes(${Buffer.from(value).toString("hex")})`;
    if (Array.isArray(value)) return `[${value.map(show).join(", ")}]`;
    if (typeof value === "object" && value !== null) {
      const fields = Object.entries(value).filter(([name]) => name !== "_creationTime");
      fields.sort(([a], [b]) => (a < b ? -1 : 1));
      return `{${fields.map(([name, field]) => `${name}: ${show(field)}`).join(", ")}}`;
    }
    return String(value);
  };
  return show(value);
}

/** What a step gave, comparable: errors by the fact, order only where it means something. */
function outcome(step, { ok, error }, ids) {
  if (error !== undefined) return "an error";
  if (step[0] === "nest") return step[2].map((inner, i) => outcome(inner, ok[i], ids)).join("; ");
  if (step[0] === "query" && step[1].end[0] === "unordered") {
    return ok.map((row) => shown(row, ids)).sort().join(", ");
  }
  return shown(ok, ids);
}

/** Compares what the same steps gave in both worlds. */
export function compare(steps, hull, other, context) {
  assert.equal(hull.ids.length, other.ids.length, `${context}: documents inserted`);
  for (const [i, step] of steps.entries()) {
    const ours = outcome(step, hull.outcomes[i], hull.ids);
    const theirs = outcome(step, other.outcomes[i], other.ids);
    if (ours === theirs) continue;
    const detail = [hull, other].map(({ outcomes }) => outcomes[i].error ?? "no error");
    assert.fail(
      `${context}, step ${i}: ${shown(step, [])}\nHull:        ${ours} (${detail[0]})\nconvex-test: ${theirs} (${detail[1]})`,
    );
  }
}
