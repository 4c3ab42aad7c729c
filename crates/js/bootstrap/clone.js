// structuredClone, without transfer.

const { shared } = native;
const { hasBrand } = shared;

const ERROR_NAMES = ["Error", "EvalError", "RangeError", "ReferenceError", "SyntaxError", "TypeError", "URIError"];
const tagOf = Object.prototype.toString;
const getters = (Class, name) => Object.getOwnPropertyDescriptor(Class.prototype, name).get;
const { getTime } = Date.prototype;
const mapSize = getters(Map, "size");
const setSize = getters(Set, "size");
const boxes = [Number.prototype.valueOf, String.prototype.valueOf, Boolean.prototype.valueOf, BigInt.prototype.valueOf];
const regExpSource = getters(RegExp, "source");
const isError = Error.isError ?? ((value) => tagOf.call(value) === "[object Error]" || value instanceof Error);

function refuse(value) {
  let text;
  try {
    text = typeof value === "symbol" ? value.toString() : typeof value === "function" ? `${value}` : `#<${value.constructor?.name ?? "Object"}>`;
  } catch {
    text = "#<Object>";
  }
  throw new DOMException(`${text} could not be cloned.`, "DataCloneError");
}

/** True for classes whose state plain properties do not hold. */
function isOpaque(value) {
  for (let proto = Object.getPrototypeOf(value); proto !== null; proto = Object.getPrototypeOf(proto)) {
    if (shared.platformPrototypes.has(proto)) return true;
  }
  return /^\[object (Promise|WeakMap|WeakSet|WeakRef|(Async)?Generator|.*Iterator|.*Module|Symbol)\]$/.test(tagOf.call(value));
}

function cloneView(view, seen) {
  const { constructor: View } = Object.getPrototypeOf(view) === DataView.prototype ? DataView.prototype : view;
  const buffer = clone(view.buffer, seen);
  return View === DataView ? new DataView(buffer, view.byteOffset, view.byteLength) : new View(buffer, view.byteOffset, view.length);
}

function cloneError(error, seen) {
  const name = ERROR_NAMES.includes(error.name) ? error.name : "Error";
  const fresh = new globalThis[name]();
  seen.set(error, fresh);
  const message = Object.getOwnPropertyDescriptor(error, "message");
  if (message !== undefined && "value" in message) shared.hide(fresh, "message", `${message.value}`);
  if (typeof error.stack === "string") shared.hide(fresh, "stack", error.stack);
  if (Object.hasOwn(error, "cause")) shared.hide(fresh, "cause", clone(error.cause, seen));
  return fresh;
}

function cloneProperties(source, target, seen) {
  for (const key of Object.keys(source)) {
    if (Object.hasOwn(source, key)) {
      Object.defineProperty(target, key, { value: clone(source[key], seen), writable: true, enumerable: true, configurable: true });
    }
  }
  return target;
}

/** Copies of objects whose content is in internal slots; undefined for others. */
function cloneBuiltIn(value, seen) {
  const remember = (copy) => {
    seen.set(value, copy);
    return copy;
  };
  if (ArrayBuffer.isView(value)) return remember(cloneView(value, seen));
  if (shared.isArrayBuffer(value)) return remember(value.slice(0));
  if (hasBrand(getTime, value)) return remember(new Date(getTime.call(value)));
  if (hasBrand(mapSize, value)) {
    const copy = remember(new Map());
    for (const [key, item] of [...Map.prototype.entries.call(value)]) copy.set(clone(key, seen), clone(item, seen));
    return copy;
  }
  if (hasBrand(setSize, value)) {
    const copy = remember(new Set());
    for (const item of [...Set.prototype.values.call(value)]) copy.add(clone(item, seen));
    return copy;
  }
  if (value !== RegExp.prototype && hasBrand(regExpSource, value)) return remember(new RegExp(value.source, value.flags));
  if (isError(value)) return cloneError(value, seen);
  for (const unbox of boxes) if (hasBrand(unbox, value)) return remember(Object(unbox.call(value)));
  return undefined;
}

function clone(value, seen) {
  if (typeof value === "symbol" || typeof value === "function") return refuse(value);
  if (typeof value !== "object" || value === null) return value;
  const known = seen.get(value);
  if (known !== undefined) return known;
  if (Array.isArray(value)) {
    const copy = new Array(value.length);
    seen.set(value, copy);
    return cloneProperties(value, copy, seen);
  }
  const isPlain = Object.getPrototypeOf(value) === Object.prototype && !(Symbol.toStringTag in value);
  if (!isPlain || tagOf.call(value) !== "[object Object]") {
    const copy = cloneBuiltIn(value, seen);
    if (copy !== undefined) return copy;
    if (shared.isBlob(value)) {
      const file = value instanceof File;
      const blob = file ? new File([value], value.name, { type: value.type, lastModified: value.lastModified }) : value.slice(0, value.size, value.type);
      seen.set(value, blob);
      return blob;
    }
    if (value instanceof DOMException) return new DOMException(value.message, value.name);
    if (isOpaque(value)) return refuse(value);
  }
  const copy = {};
  seen.set(value, copy);
  return cloneProperties(value, copy, seen);
}

shared.global("structuredClone", function structuredClone(value, options = undefined) {
  shared.atLeast(arguments.length, 1, "structuredClone");
  if (options !== undefined) native.uncatchable("structuredClone with transfer not supported");
  return clone(value, new Map());
});
