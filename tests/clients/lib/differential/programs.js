// Generated programs for the functions of `apps/differential`.

const buffer = (...bytes) => new Uint8Array(bytes).buffer;

const SCALARS = [
  null, true, false, 0, -0, 1, 2, -1, 1.5, 1e308, Infinity, -Infinity, NaN, 0n, 1n, -5n, 2n ** 63n - 1n, -(2n ** 63n),
  "", "a", "b", "ab", "A", "é", "😀", "\u0000", "x".repeat(300), buffer(), buffer(0), buffer(1, 2), buffer(255),
];
/** Few, so that index ranges hit. */
const KEYS = [null, 0, 1, 2, 1n, "a", "b", true, buffer(1)];
const ABSENT = { undefined_: true };
export const TABLES = ["loose", "typed", "shapes", "free"];

export class Programs {
  constructor(random) {
    this.random = random;
    /** How many documents there are at most. */
    this.documents = 0;
  }

  scalar() {
    return this.random.pick(SCALARS);
  }

  value(depth = 0) {
    const { random } = this;
    if (depth > 2 || random.chance(70)) return this.scalar();
    if (random.chance(50)) return random.list(3, () => this.value(depth + 1));
    return this.object(depth + 1);
  }

  object(depth = 0) {
    const { random } = this;
    return Object.fromEntries(random.list(3, () => [random.pick(["x", "y", "z", "_inner", "with space"]), this.value(depth + 1)]));
  }

  key() {
    return this.random.pick(KEYS);
  }

  id() {
    return { id_: this.random.below(Math.max(1, this.documents)) };
  }

  looseDocument() {
    const { random } = this;
    const document = {};
    if (random.chance(80)) document.a = this.key();
    if (random.chance(60)) document.b = random.chance(70) ? this.key() : this.value();
    if (random.chance(40)) document.o = random.chance(70) ? { x: this.key() } : this.value();
    if (random.chance(40)) document.c = this.value();
    if (random.chance(10)) document.c = { x: ABSENT, y: 1 };
    return document;
  }

  /** Mostly what the table accepts. */
  typedDocument() {
    const { random } = this;
    const fields = {
      n: () => random.pick([0, 1.5, NaN, -0]),
      i: () => random.pick([0n, 5n]),
      flag: () => random.chance(50),
      text: () => random.pick(["", "text"]),
      bytes: () => buffer(1),
      nothing: () => null,
      list: () => random.list(3, () => random.pick([1, "x"])),
      object: () => ({ x: 1, ...(random.chance(50) && { y: this.value() }) }),
      literal: () => random.pick(["a", 1, true]),
      ref: () => this.id(),
      either: () => random.pick([{ kind: "x", n: 1 }, { kind: "y" }]),
    };
    const document = {};
    for (const [name, make] of Object.entries(fields)) {
      if (random.chance(25)) document[name] = random.chance(80) ? make() : this.value();
    }
    if (random.chance(5)) document.extra = 1;
    return document;
  }

  document(table) {
    const { random } = this;
    if (table === "typed") return this.typedDocument();
    if (table === "shapes") {
      return random.pick([{ kind: "x", n: 1 }, { kind: "y", b: this.value() }, { kind: "x" }, { kind: "z" }, { kind: "y", b: 1, n: 2 }]);
    }
    return this.looseDocument();
  }

  /** A patch that removes fields which the table knows, refused where the document is of another one. */
  removal(id) {
    const { random } = this;
    const table = random.pick(["loose", "typed"]);
    const patch = this.document(table);
    const removable = table === "typed" ? ["n", "text", "either"] : ["a", "b", "c"];
    for (const name of removable) if (random.chance(40)) patch[name] = ABSENT;
    return ["patch", table, id, patch];
  }

  order() {
    return this.random.pick([undefined, "asc", "desc"]);
  }

  /** An index range as the builder's types allow it. */
  range() {
    const { random } = this;
    const index = random.pick(["by_a", "by_ab", "by_path"]);
    const fields = { by_a: ["a"], by_ab: ["a", "b"], by_path: ["o.x", "b"] }[index];
    const range = [];
    const value = () => (random.chance(15) ? ABSENT : this.key());
    for (const field of fields) {
      if (random.chance(50)) {
        range.push(["eq", field, value()]);
        continue;
      }
      const lower = ["gt", "gte"];
      const upper = ["lt", "lte"];
      if (random.chance(60)) range.push([random.pick(lower), field, value()]);
      if (random.chance(60)) range.push([random.pick(upper), field, value()]);
      break;
    }
    return { index, range };
  }

  /** An expression that is a boolean: comparisons are between numbers where the two sides differ. */
  predicate(depth = 0) {
    const { random } = this;
    const field = () => ["field", random.pick(["a", "b", "c", "o", "o.x", "n", "text", "kind", "_id", "none.at.all"])];
    if (depth < 2 && random.chance(35)) {
      const op = random.pick(["and", "or", "not"]);
      const operands = op === "not" ? [this.predicate(depth + 1)] : random.list(3, () => this.predicate(depth + 1), 1);
      return [op, ...operands];
    }
    const right = random.chance(15) ? ["value", this.id()] : ["value", random.chance(70) ? this.key() : this.value()];
    return [random.pick(["eq", "neq"]), field(), random.chance(80) ? right : field()];
  }

  /** Comparisons and arithmetic of numbers of one kind. No NaN comes out, and no -0 is compared with 0: see DIFFERENCES. */
  numbers() {
    const { random } = this;
    const numbers = random.chance(60) ? [1, 2.5, -3, 1e10] : [1n, 2n, -3n, 10n];
    const number = () => ["value", random.pick(numbers)];
    const term = (depth) => {
      if (depth === 0 || random.chance(30)) return number();
      if (random.chance(40)) return [random.pick(["div", "mod"]), term(depth - 1), number()];
      return [random.pick(["add", "sub", "mul"]), term(depth - 1), term(depth - 1)];
    };
    return [random.pick(["lt", "lte", "gt", "gte", "eq", "neq"]), term(2), number()];
  }

  query() {
    const { random } = this;
    const query = { table: random.pick(["loose", "loose", "loose", "typed", "free", "shapes"]), end: ["collect"] };
    if (query.table === "loose" && random.chance(60)) Object.assign(query, this.range());
    else if (random.chance(15)) query.index = random.pick(["by_id", "by_creation_time"]);
    if (random.chance(50)) query.order = this.order();
    if (query.index === "by_id") {
      // Ids are in another order here and there.
      delete query.order;
      query.end = ["unordered"];
    }
    if (query.order === undefined) delete query.order;
    if (random.chance(40)) query.filter = random.chance(75) ? this.predicate() : this.numbers();
    if (query.end[0] === "collect" && random.chance(50)) {
      query.end = random.pick([["first"], ["unique"], ["take", random.below(4)], ["iterate", 1 + random.below(3)]]);
    }
    return query;
  }

  step(mayWrite, depth = 0) {
    const { random } = this;
    const id = this.id();
    if (mayWrite && random.chance(60)) {
      const table = random.pick(TABLES);
      const op = random.pick(["insert", "insert", "insert", "patch", "replace", "update", "delete", "nest"]);
      switch (op) {
        case "insert":
          this.documents += 1;
          return ["insert", table, { ...this.document(table), ...(random.chance(10) && { c: ABSENT }) }];
        case "patch":
          return random.chance(50) ? ["patch", id, this.document(table)] : this.removal(id);
        case "replace":
          if (random.chance(20)) return ["replace", random.pick(TABLES), id, this.document(table)];
          return ["replace", id, this.document(table)];
        case "update":
          return ["update", id, random.chance(20) ? { _id: this.id() } : this.document(table)];
        case "delete":
          return random.chance(80) ? ["delete", id] : ["delete", random.pick(TABLES), id];
        default: {
          if (depth > 1) return ["get", id];
          const kind = random.pick(["write", "fail", "read"]);
          const before = this.documents;
          const steps = random.list(4, () => this.step(kind !== "read", depth + 1), 1);
          // What was inserted in vain has no number.
          if (kind === "fail") this.documents = before;
          return ["nest", kind, steps];
        }
      }
    }
    if (random.chance(25)) return random.chance(80) ? ["get", id] : ["get", random.pick(TABLES), id];
    if (random.chance(10)) return ["echo", this.value()];
    if (random.chance(15)) return ["normalizeId", random.pick(TABLES.slice(0, 3)), id];
    return ["query", this.query()];
  }

  steps(mayWrite) {
    return this.random.list(10, () => this.step(mayWrite), 3);
  }
}
