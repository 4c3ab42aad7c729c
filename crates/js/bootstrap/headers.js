// Headers: names in lower case, iterated sorted; values are byte strings.

const { shared } = native;

let pairsOf;

function checkedName(name) {
  name = `${name}`;
  if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name)) throw new TypeError(`Headers: invalid header name '${name}'`);
  return name.toLowerCase();
}

function checkedValue(value) {
  value = `${value}`.replace(/^[\t\n\r ]+|[\t\n\r ]+$/g, "");
  if (/[\0\r\n]|[^\x00-\xff]/.test(value)) throw new TypeError("Headers: invalid header value");
  return value;
}

class Headers {
  #list = [];
  #immutable = false;
  /** The sorted and combined form, until the next change. */
  #sorted = null;
  static {
    pairsOf = (headers) => (headers.#sorted ??= sortAndCombine(headers.#list));
    shared.isHeaders = (value) => typeof value === "object" && value !== null && #list in value;
    shared.freezeHeaders = (headers) => {
      headers.#immutable = true;
      return headers;
    };
    /** The raw pairs, several of one name apart. */
    shared.headerPairs = (headers) => headers.#list.map(([name, value]) => [name, value]);
  }
  constructor(init = undefined) {
    if (init !== undefined) this.#fill(init);
  }
  #fill(init) {
    if (init === null || (typeof init !== "object" && typeof init !== "function")) throw new TypeError("Headers: the init is not an object");
    if (shared.isHeaders(init)) {
      this.#list = shared.headerPairs(init);
    } else if (init[Symbol.iterator] !== undefined && init[Symbol.iterator] !== null) {
      for (const pair of init) {
        const items = pair === null || typeof pair !== "object" ? [] : [...pair];
        if (items.length !== 2) throw new TypeError("Headers: each pair must be an iterable of two items");
        this.append(items[0], items[1]);
      }
    } else {
      for (const key of Reflect.ownKeys(init)) {
        if (Object.prototype.propertyIsEnumerable.call(init, key)) this.append(key, init[key]);
      }
    }
  }
  #changing() {
    if (this.#immutable) throw new TypeError("Headers are immutable");
    this.#sorted = null;
  }
  append(name, value) {
    shared.atLeast(arguments.length, 2, "Headers.append");
    const pair = [checkedName(name), checkedValue(value)];
    this.#changing();
    this.#list.push(pair);
  }
  delete(name) {
    shared.atLeast(arguments.length, 1, "Headers.delete");
    name = checkedName(name);
    this.#changing();
    this.#list = this.#list.filter((pair) => pair[0] !== name);
  }
  get(name) {
    shared.atLeast(arguments.length, 1, "Headers.get");
    name = checkedName(name);
    const values = this.#list.filter((pair) => pair[0] === name).map((pair) => pair[1]);
    return values.length === 0 ? null : values.join(", ");
  }
  getSetCookie() {
    return this.#list.filter((pair) => pair[0] === "set-cookie").map((pair) => pair[1]);
  }
  has(name) {
    shared.atLeast(arguments.length, 1, "Headers.has");
    name = checkedName(name);
    return this.#list.some((pair) => pair[0] === name);
  }
  set(name, value) {
    shared.atLeast(arguments.length, 2, "Headers.set");
    name = checkedName(name);
    value = checkedValue(value);
    this.#changing();
    const first = this.#list.findIndex((pair) => pair[0] === name);
    if (first < 0) {
      this.#list.push([name, value]);
    } else {
      this.#list[first] = [name, value];
      this.#list = this.#list.filter((pair, at) => at <= first || pair[0] !== name);
    }
  }
}

/** One pair per name with its values joined, except cookies. */
function sortAndCombine(list) {
  const combined = new Map();
  const cookies = [];
  for (const [name, value] of list) {
    if (name === "set-cookie") cookies.push([name, value]);
    else combined.set(name, combined.has(name) ? `${combined.get(name)}, ${value}` : value);
  }
  return [...combined, ...cookies].sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
}

shared.makeIterable("Headers", Headers, pairsOf);
shared.expose("Headers", Headers);
