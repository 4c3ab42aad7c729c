// URL and URLSearchParams. Parsing is the operations'; a URL holds its components as last parsed.

const { shared } = native;
const { usv } = shared;

let bindToUrl, pairsOf;

class URLSearchParams {
  #pairs = [];
  /** Called after each change with the new text. */
  #changed = null;
  static {
    pairsOf = (params) => params.#pairs;
    bindToUrl = (text, changed) => {
      const params = new URLSearchParams();
      params.#changed = changed;
      params.#read(text);
      return params;
    };
    shared.resetSearchParams = (params, text) => params.#read(text);
    shared.isSearchParams = (value) => typeof value === "object" && value !== null && #pairs in value;
  }
  constructor(init = "") {
    if ((typeof init === "object" && init !== null) || typeof init === "function") {
      const method = init[Symbol.iterator];
      if (method !== undefined && method !== null) {
        for (const pair of init) {
          const items = pair === null || typeof pair !== "object" ? [] : [...pair];
          if (items.length !== 2) throw new TypeError("URLSearchParams: each pair must be an iterable of two items");
          this.#pairs.push([usv(items[0]), usv(items[1])]);
        }
      } else {
        // Later keys that are the same after conversion win, in the place of the first.
        const record = new Map();
        for (const key of Reflect.ownKeys(init)) {
          if (Object.prototype.propertyIsEnumerable.call(init, key)) record.set(usv(key), usv(init[key]));
        }
        this.#pairs = [...record];
      }
    } else {
      const text = usv(init);
      this.#read(text.startsWith("?") ? text.slice(1) : text);
    }
  }
  #read(text) {
    this.#pairs = [];
    if (text === "") return;
    const flat = native.call("form.parse", text);
    for (let i = 0; i < flat.length; i += 2) this.#pairs.push([flat[i], flat[i + 1]]);
  }
  #update() {
    this.#changed?.(this.toString());
  }
  get size() {
    return this.#pairs.length;
  }
  append(name, value) {
    shared.atLeast(arguments.length, 2, "URLSearchParams.append");
    this.#pairs.push([usv(name), usv(value)]);
    this.#update();
  }
  delete(name, value = undefined) {
    shared.atLeast(arguments.length, 1, "URLSearchParams.delete");
    name = usv(name);
    if (value !== undefined) value = usv(value);
    this.#pairs = this.#pairs.filter((pair) => pair[0] !== name || (value !== undefined && pair[1] !== value));
    this.#update();
  }
  get(name) {
    shared.atLeast(arguments.length, 1, "URLSearchParams.get");
    name = usv(name);
    return this.#pairs.find((pair) => pair[0] === name)?.[1] ?? null;
  }
  getAll(name) {
    shared.atLeast(arguments.length, 1, "URLSearchParams.getAll");
    name = usv(name);
    return this.#pairs.filter((pair) => pair[0] === name).map((pair) => pair[1]);
  }
  has(name, value = undefined) {
    shared.atLeast(arguments.length, 1, "URLSearchParams.has");
    name = usv(name);
    if (value !== undefined) value = usv(value);
    return this.#pairs.some((pair) => pair[0] === name && (value === undefined || pair[1] === value));
  }
  set(name, value) {
    shared.atLeast(arguments.length, 2, "URLSearchParams.set");
    name = usv(name);
    value = usv(value);
    const first = this.#pairs.findIndex((pair) => pair[0] === name);
    if (first < 0) {
      this.#pairs.push([name, value]);
    } else {
      this.#pairs[first][1] = value;
      this.#pairs = this.#pairs.filter((pair, at) => at <= first || pair[0] !== name);
    }
    this.#update();
  }
  sort() {
    this.#pairs.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
    this.#update();
  }
  toString() {
    return this.#pairs.length === 0 ? "" : native.call("form.serialize", this.#pairs.flat());
  }
}
shared.makeIterable("URLSearchParams", URLSearchParams, pairsOf);

const COMPONENTS = ["href", "origin", "protocol", "username", "password", "host", "hostname", "port", "pathname", "search", "hash"];

function parse(url, base) {
  return native.call("url.parse", usv(url), base === undefined ? undefined : usv(base));
}

const secret = Symbol("parsed");

class URL {
  #parts;
  #params = null;
  static {
    for (const [at, name] of COMPONENTS.entries()) {
      const descriptor = {
        configurable: true,
        get() {
          return this.#parts[at];
        },
      };
      if (name !== "origin") {
        descriptor.set = function (value) {
          const parts = native.call("url.set", this.#parts[0], name, usv(value));
          if (parts === null) throw new TypeError("Invalid URL");
          this.#parts = parts;
          if (this.#params !== null && (name === "search" || name === "href")) {
            shared.resetSearchParams(this.#params, this.search.slice(1));
          }
        };
      }
      Object.defineProperty(this.prototype, name, descriptor);
    }
  }
  constructor(url, base = undefined) {
    if (base === secret) {
      this.#parts = url;
      return;
    }
    shared.atLeast(arguments.length, 1, "URL");
    const parts = parse(url, base);
    if (parts === null) {
      const error = new TypeError("Invalid URL");
      shared.hide(error, "code", "ERR_INVALID_URL");
      throw shared.hide(error, "input", `${url}`);
    }
    this.#parts = parts;
  }
  static canParse(url, base = undefined) {
    shared.atLeast(arguments.length, 1, "URL.canParse");
    return parse(url, base) !== null;
  }
  static parse(url, base = undefined) {
    shared.atLeast(arguments.length, 1, "URL.parse");
    const parts = parse(url, base);
    return parts === null ? null : new URL(parts, secret);
  }
  get searchParams() {
    this.#params ??= bindToUrl(this.search.slice(1), (text) => {
      this.#parts = native.call("url.set", this.#parts[0], "search", text);
    });
    return this.#params;
  }
  toString() {
    return this.#parts[0];
  }
  toJSON() {
    return this.#parts[0];
  }
}

shared.expose("URLSearchParams", URLSearchParams);
shared.expose("URL", URL);
