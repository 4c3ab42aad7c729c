// Formats console arguments as the npm package object-inspect 1.13 does with `indent: 2`, `maxStringLength: 32768`,
// `customInspect: true` and its default depth of 5; the log format of the original.

const { shared } = native;
const STRING_LENGTH_MAX = 32768;
const DEPTH_MAX = 5;

const { hasOwn, getPrototypeOf, getOwnPropertySymbols } = Object;
const rawTag = Object.prototype.toString;
const isEnumerable = Object.prototype.propertyIsEnumerable;
const symbolToString = Symbol.prototype.toString;
const bigIntValue = BigInt.prototype.valueOf;
const mapSize = Object.getOwnPropertyDescriptor(Map.prototype, "size").get;
const setSize = Object.getOwnPropertyDescriptor(Set.prototype, "size").get;
const weakMapHas = WeakMap.prototype.has;
const weakSetHas = WeakSet.prototype.has;
const { forEach: mapForEach } = Map.prototype;
const { forEach: setForEach } = Set.prototype;
const { hasBrand } = shared;

const ESCAPES = { __proto__: null, 8: "b", 9: "t", 10: "n", 12: "f", 13: "r" };

function escapeControl(character) {
  const code = character.charCodeAt(0);
  const letter = ESCAPES[code];
  return letter ? `\\${letter}` : `\\x${code < 16 ? "0" : ""}${code.toString(16).toUpperCase()}`;
}

function quote(text, flat) {
  let more = "";
  if (!flat && text.length > STRING_LENGTH_MAX) {
    const rest = text.length - STRING_LENGTH_MAX;
    more = `... ${rest} more character${rest > 1 ? "s" : ""}`;
    text = text.slice(0, STRING_LENGTH_MAX);
  }
  return `'${text.replace(/(['\\])/g, "\\$1").replace(/[\x00-\x1f]/g, escapeControl)}'${more}`;
}

/** The class tag of an object, unless a Symbol.toStringTag could have forged it. */
function classTag(object) {
  if (typeof object === "object" && (Symbol.toStringTag in object || object[Symbol.toStringTag] !== undefined)) return "";
  return rawTag.call(object).slice(8, -1);
}

function isSymbolObject(object) {
  return hasBrand(symbolToString, object);
}

function isElement(object) {
  return typeof object.nodeName === "string" && typeof object.getAttribute === "function";
}

function formatElement(element) {
  const name = String(element.nodeName).toLowerCase();
  let text = `<${name}`;
  for (const attribute of Array.from(element.attributes || [])) {
    text += ` ${attribute.name}="${String(attribute.value).replace(/"/g, "&quot;")}"`;
  }
  return `${text}>${element.childNodes && element.childNodes.length ? "..." : ""}</${name}>`;
}

function indented(entries, depth) {
  if (entries.length === 0) return "";
  const outer = "\n" + "  ".repeat(depth);
  return `${outer}  ${entries.join(`,${outer}  `)}${outer}`;
}

/** `flat` is set inside Map keys, which object-inspect formats without indentation and string limit. */
function format(value, depth, ancestors, flat) {
  switch (typeof value) {
    case "undefined":
      return "undefined";
    case "boolean":
      return String(value);
    case "string":
      return quote(value, flat);
    case "number":
      return Object.is(value, -0) ? "-0" : String(value);
    case "bigint":
      return `${value}n`;
    case "symbol":
      return symbolToString.call(value);
  }
  if (value === null) return "null";
  if (depth >= DEPTH_MAX && typeof value === "object") return classTag(value) === "Array" ? "[Array]" : "[Object]";
  if (ancestors.includes(value)) return "[Circular]";
  return formatObject(value, depth, ancestors, flat);
}

function formatObject(object, depth, ancestors, flat) {
  const inner = [...ancestors, object];
  const child = (value) => format(value, depth + 1, inner, flat);
  const properties = () => formatProperties(object, depth, ancestors, flat, child);
  if (typeof object === "function") {
    const entries = properties();
    const name = object.name ? `: ${object.name}` : " (anonymous)";
    return `[Function${name}]${entries.length > 0 ? ` { ${entries.join(", ")} }` : ""}`;
  }
  if (isSymbolObject(object)) return `Object(${symbolToString.call(object)})`;
  if (isElement(object)) return formatElement(object);
  const tag = classTag(object);
  if (tag === "Array") {
    if (object.length === 0) return "[]";
    const entries = properties();
    const oneLine = flat || entries.every((entry) => !entry.includes("\n"));
    return oneLine ? `[ ${entries.join(", ")} ]` : `[${indented(entries, depth)}]`;
  }
  if (tag === "Error") return formatError(object, properties(), depth, ancestors, flat, child);
  if (typeof object.inspect === "function") return object.inspect();
  const collection = (type, size, entries) => `${type} (${size}) {${flat ? entries.join(", ") : indented(entries, depth)}}`;
  if (hasBrand(mapSize, object)) {
    const entries = [];
    mapForEach.call(object, (item, key) => {
      entries.push(`${format(key, depth + 1, inner, true)} => ${child(item)}`);
    });
    return collection("Map", mapSize.call(object), entries);
  }
  if (hasBrand(setSize, object)) {
    const entries = [];
    setForEach.call(object, (item) => entries.push(child(item)));
    return collection("Set", setSize.call(object), entries);
  }
  const weak = weakType(object);
  if (weak) return `${weak} { ? }`;
  switch (tag) {
    case "Number":
      return `Object(${format(Number(object), depth + 1, ancestors, flat)})`;
    case "Boolean":
      return `Object(${Boolean.prototype.valueOf.call(object)})`;
    case "String":
      return `Object(${quote(String(object), flat)})`;
    case "Date":
    case "RegExp":
      return String(object);
  }
  if (hasBrand(bigIntValue, object)) return `Object(${bigIntValue.call(object)}n)`;
  if (object === globalThis) return "{ [object globalThis] }";
  return formatPlain(object, properties(), depth, flat);
}

function weakType(object) {
  const call = (method) => hasBrand({ call: (self) => method.call(self, object) }, object);
  if (call(weakMapHas)) return "WeakMap";
  if (call(weakSetHas)) return "WeakSet";
  return object instanceof WeakRef && object !== WeakRef.prototype ? "WeakRef" : "";
}

function formatError(error, entries, depth, ancestors, flat, child) {
  if ("cause" in error && !("cause" in Error.prototype) && !isEnumerable.call(error, "cause")) {
    entries.unshift(`[cause]: ${format(error.cause, depth + 1, ancestors, flat)}`);
  }
  return entries.length === 0 ? `[${String(error)}]` : `{ [${String(error)}] ${entries.join(", ")} }`;
}

function formatPlain(object, entries, depth, flat) {
  const isPlain = getPrototypeOf(object) === Object.prototype;
  const nullTag = object instanceof Object ? "" : "null prototype";
  let stringTag = nullTag ? "Object" : "";
  if (!isPlain && Symbol.toStringTag in object) stringTag = rawTag.call(object).slice(8, -1);
  const ownName = isPlain || typeof object.constructor !== "function" ? "" : object.constructor.name;
  const tags = [stringTag, nullTag].filter(Boolean).join(": ");
  const prefix = (ownName ? `${ownName} ` : "") + (tags ? `[${tags}] ` : "");
  if (entries.length === 0) return `${prefix}{}`;
  return flat ? `${prefix}{ ${entries.join(", ")} }` : `${prefix}{${indented(entries, depth)}}`;
}

function formatProperties(object, depth, ancestors, flat, child) {
  const isArray = classTag(object) === "Array";
  const entries = [];
  if (isArray) {
    for (let i = 0; i < object.length; i++) entries.push(hasOwn(object, i) ? child(object[i]) : "");
  }
  for (const key in object) {
    if (!hasOwn(object, key)) continue;
    if (isArray && String(Number(key)) === key && key < object.length) continue;
    const name = /[^\w$]/.test(key) ? child(key) : key;
    entries.push(`${name}: ${child(object[key])}`);
  }
  for (const symbol of getOwnPropertySymbols(object)) {
    if (isEnumerable.call(object, symbol)) entries.push(`[${symbolToString.call(symbol)}]: ${child(object[symbol])}`);
  }
  return entries;
}

shared.inspect = (value) => format(value, 0, [], false);
