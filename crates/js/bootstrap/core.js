// What the other scripts share: definitions in the manner of browsers, phase rules, byte helpers.

const shared = (native.shared = { __proto__: null });
const { defineProperty, getOwnPropertyDescriptor } = Object;

/** Defines a property as ECMAScript and browsers define globals: not enumerable. */
shared.hide = (object, key, value) =>
  defineProperty(object, key, { value, writable: true, enumerable: false, configurable: true });

shared.global = (name, value) => shared.hide(globalThis, name, value);

/** Prototypes of the classes below; `structuredClone` refuses their instances. */
shared.platformPrototypes = new Set();

function makeEnumerable(object, except) {
  for (const key of Object.getOwnPropertyNames(object)) {
    if (except.includes(key)) continue;
    const descriptor = getOwnPropertyDescriptor(object, key);
    descriptor.enumerable = true;
    defineProperty(object, key, descriptor);
  }
}

/** Gives a class the shape of a Web IDL interface: enumerable members, a string tag. */
shared.interface = (name, Class) => {
  makeEnumerable(Class.prototype, ["constructor"]);
  makeEnumerable(Class, ["prototype", "name", "length"]);
  defineProperty(Class.prototype, Symbol.toStringTag, { value: name, configurable: true });
  shared.platformPrototypes.add(Class.prototype);
  return Class;
};

shared.expose = (name, Class) => shared.global(name, shared.interface(name, Class));

const errorClasses = { __proto__: null, Error, TypeError, RangeError };

native.opError = (className, name, message) =>
  className === "DOMException" ? new DOMException(message, name) : new (errorClasses[className] ?? Error)(message);

/** Refuses what only actions may do; `what` is spelt as in the documentation. */
shared.onlyInActions = (what) => {
  switch (native.phase()) {
    case "action":
    case "httpAction":
      return;
    case "query":
    case "mutation":
      throw new Error(
        `Can't use ${what} in queries and mutations. Please consider using an action. ` +
          "See https://docs.convex.dev/functions/actions for more details.",
      );
    default:
      throw new Error(`${what} unsupported at import time`);
  }
};

/** Ends the function: the original runtime lacks this too, and code must not probe for it by catching. */
shared.notImplemented = (operation, className) =>
  native.uncatchable(
    `Not implemented: ${operation} for ${className}. Consider calling an action defined in Node.js instead ` +
      "(https://docs.convex.dev/functions/actions).",
  );

/** The error for what this server still lacks. */
shared.notBuilt = (what) => new Error(`Not built yet: ${what}`);

shared.illegal = () => {
  throw new TypeError("Illegal constructor");
};

shared.atLeast = (count, required, where) => {
  if (count < required) {
    throw new TypeError(`${where}: ${required} argument${required > 1 ? "s" : ""} required, but only ${count} present.`);
  }
};

shared.usv = (value) => `${value}`.toWellFormed();

shared.isBufferSource = (value) => ArrayBuffer.isView(value) || shared.isArrayBuffer(value);

const bufferLength = getOwnPropertyDescriptor(ArrayBuffer.prototype, "byteLength").get;
const sharedLength =
  typeof SharedArrayBuffer === "undefined" ? null : getOwnPropertyDescriptor(SharedArrayBuffer.prototype, "byteLength").get;

shared.hasBrand = (getter, value) => {
  try {
    getter.call(value);
    return true;
  } catch {
    return false;
  }
};

shared.isArrayBuffer = (value) =>
  typeof value === "object" &&
  value !== null &&
  (shared.hasBrand(bufferLength, value) || (sharedLength !== null && shared.hasBrand(sharedLength, value)));

/** Views the bytes of an ArrayBuffer or view without copying. */
shared.view = (source, where) => {
  if (ArrayBuffer.isView(source)) return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
  if (shared.isArrayBuffer(source)) return new Uint8Array(source);
  throw new TypeError(`${where}: not an ArrayBuffer or ArrayBufferView`);
};

shared.concat = (chunks) => {
  if (chunks.length === 1) return chunks[0];
  let length = 0;
  for (const chunk of chunks) length += chunk.byteLength;
  const all = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.byteLength;
  }
  return all;
};

shared.encode = (text) => native.call("text.encode", text);

/** Decodes UTF-8 as bodies and blobs do: a leading byte order mark goes, bad bytes become U+FFFD. */
shared.decode = (bytes) => {
  const text = native.call("text.decode", "utf-8", bytes, false, false)[0];
  return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
};

/** An ArrayBuffer of exactly these bytes, which nobody else holds. */
shared.bufferOf = (bytes) => bytes.slice().buffer;

const IteratorPrototype = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]()));

/**
 * Adds entries/keys/values/forEach/@@iterator to a class. `pairsOf(object)` returns the current `[name, value]` pairs and
 * throws for foreign objects; iterators are live, as in Web IDL.
 */
shared.makeIterable = (name, Class, pairsOf) => {
  const states = new WeakMap();
  const prototype = Object.create(IteratorPrototype, {
    next: {
      value: function next() {
        const state = states.get(this);
        if (state === undefined) throw new TypeError(`not a ${name} iterator`);
        const pairs = pairsOf(state.target);
        if (state.index >= pairs.length) return { value: undefined, done: true };
        const pair = pairs[state.index++];
        return { value: state.pick === 2 ? [pair[0], pair[1]] : pair[state.pick], done: false };
      },
      writable: true,
      enumerable: true,
      configurable: true,
    },
    [Symbol.toStringTag]: { value: `${name} Iterator`, configurable: true },
  });
  const iterate = (target, pick) => {
    pairsOf(target);
    const iterator = Object.create(prototype);
    states.set(iterator, { target, pick, index: 0 });
    return iterator;
  };
  const methods = {
    entries() {
      return iterate(this, 2);
    },
    forEach(callback, thisArg = undefined) {
      shared.atLeast(arguments.length, 1, `${name}.forEach`);
      if (typeof callback !== "function") throw new TypeError(`${name}.forEach: callback is not a function`);
      for (let i = 0; i < pairsOf(this).length; i++) {
        const pair = pairsOf(this)[i];
        callback.call(thisArg, pair[1], pair[0], this);
      }
    },
    keys() {
      return iterate(this, 0);
    },
    values() {
      return iterate(this, 1);
    },
  };
  for (const key of Object.keys(methods)) shared.hide(Class.prototype, key, methods[key]);
  shared.hide(Class.prototype, Symbol.iterator, methods.entries);
};

/** A promise with its levers. */
shared.deferred = () => {
  let resolve, reject;
  const promise = new Promise((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
};

const ignore = () => {};

/** Keeps a rejection from counting as unhandled. */
shared.markHandled = (promise) => {
  promise.then(ignore, ignore);
};

// Absent from the original, so that packages do not take their presence for another environment.
delete globalThis.queueMicrotask;
delete globalThis.navigator;
