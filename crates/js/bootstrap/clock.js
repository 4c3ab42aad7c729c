// Time and randomness by the rules of the phase, and `performance`. WeakRef and FinalizationRegistry belong here too:
// what the collector does must not be visible to deterministic functions.

const { shared } = native;

if (native.engineClock !== true) {
  shared.hide(Math, "random", function random() {
    return native.random();
  });
  const EngineDate = Date;
  const { parse, UTC } = EngineDate;
  const now = function now() {
    return native.now();
  };
  const ClockDate = function Date(...args) {
    if (new.target === undefined) return new EngineDate(native.now()).toString();
    return Reflect.construct(EngineDate, args.length === 0 ? [native.now()] : args, new.target);
  };
  Object.defineProperty(ClockDate, "length", { value: 7, configurable: true });
  Object.defineProperty(ClockDate, "prototype", { value: EngineDate.prototype, writable: false });
  shared.hide(EngineDate.prototype, "constructor", ClockDate);
  shared.hide(ClockDate, "now", now);
  shared.hide(ClockDate, "parse", parse);
  shared.hide(ClockDate, "UTC", UTC);
  shared.global("Date", ClockDate);
}

const secret = Symbol("internal");

class PerformanceEntry {
  #name;
  #type;
  #start;
  #duration;
  constructor(key, name, type, start, duration) {
    if (key !== secret) shared.illegal();
    this.#name = name;
    this.#type = type;
    this.#start = start;
    this.#duration = duration;
  }
  get name() {
    return this.#name;
  }
  get entryType() {
    return this.#type;
  }
  get startTime() {
    return this.#start;
  }
  get duration() {
    return this.#duration;
  }
  toJSON() {
    return { name: this.#name, entryType: this.#type, startTime: this.#start, duration: this.#duration, detail: this.detail };
  }
}

class PerformanceMark extends PerformanceEntry {
  #detail;
  constructor(name, options = {}) {
    shared.atLeast(arguments.length, 1, "PerformanceMark");
    const start = options?.startTime === undefined ? native.performanceNow() : Number(options.startTime);
    if (start < 0) throw new TypeError("PerformanceMark: startTime cannot be negative");
    super(secret, String(name), "mark", start, 0);
    this.#detail = options?.detail === undefined ? null : structuredClone(options.detail);
  }
  get detail() {
    return this.#detail;
  }
}

class PerformanceMeasure extends PerformanceEntry {
  #detail;
  constructor(key, name, start, end, detail) {
    super(key, name, "measure", start, end - start);
    this.#detail = detail === undefined ? null : structuredClone(detail);
  }
  get detail() {
    return this.#detail;
  }
}

let entries = [];
const byStart = (list) => list.sort((a, b) => a.startTime - b.startTime);
const clear = (type, name) => {
  entries = entries.filter((entry) => entry.entryType !== type || (name !== undefined && entry.name !== String(name)));
};

/** A time given as a number or as the name of a mark. */
function timeOf(mark) {
  if (typeof mark !== "string") return Number(mark);
  const found = entries.findLast((entry) => entry.entryType === "mark" && entry.name === mark);
  if (!found) throw new DOMException(`The mark '${mark}' does not exist.`, "SyntaxError");
  return found.startTime;
}

class Performance {
  constructor(key) {
    if (key !== secret) shared.illegal();
  }
  get timeOrigin() {
    return native.timeOrigin();
  }
  now() {
    return native.performanceNow();
  }
  mark(name, options = {}) {
    const mark = new PerformanceMark(name, options);
    entries.push(mark);
    return mark;
  }
  measure(name, startOrOptions, endMark) {
    shared.atLeast(arguments.length, 1, "Performance.measure");
    const options = typeof startOrOptions === "object" && startOrOptions !== null ? startOrOptions : { start: startOrOptions, end: endMark };
    const { start, end, duration, detail } = options;
    let to = end === undefined ? undefined : timeOf(end);
    let from = start === undefined ? undefined : timeOf(start);
    if (to === undefined) to = from !== undefined && duration !== undefined ? from + duration : native.performanceNow();
    if (from === undefined) from = duration !== undefined ? to - duration : 0;
    const measure = new PerformanceMeasure(secret, String(name), from, to, detail);
    entries.push(measure);
    return measure;
  }
  clearMarks(name) {
    clear("mark", name);
  }
  clearMeasures(name) {
    clear("measure", name);
  }
  getEntries() {
    return byStart([...entries]);
  }
  getEntriesByName(name, type) {
    return byStart(entries.filter((entry) => entry.name === String(name) && (type === undefined || entry.entryType === type)));
  }
  getEntriesByType(type) {
    return byStart(entries.filter((entry) => entry.entryType === String(type)));
  }
  toJSON() {
    return { timeOrigin: this.timeOrigin };
  }
}

shared.expose("PerformanceEntry", PerformanceEntry);
shared.expose("PerformanceMark", PerformanceMark);
shared.expose("PerformanceMeasure", PerformanceMeasure);
shared.expose("Performance", Performance);
shared.global("performance", new Performance(secret));

class WeakRef {
  #target;
  constructor(target) {
    if (target === null || (typeof target !== "object" && typeof target !== "function" && typeof target !== "symbol")) {
      throw new TypeError("WeakRef: invalid target");
    }
    this.#target = target;
  }
  deref() {
    return this.#target;
  }
}

class FinalizationRegistry {
  constructor(cleanup) {
    if (typeof cleanup !== "function") throw new TypeError("FinalizationRegistry: cleanup must be callable");
  }
  register() {}
  unregister() {
    return false;
  }
}

for (const Class of [WeakRef, FinalizationRegistry]) {
  Object.defineProperty(Class.prototype, Symbol.toStringTag, { value: Class.name, configurable: true });
  shared.platformPrototypes.add(Class.prototype);
  shared.global(Class.name, Class);
}
