// Queues with sizes and the two queuing strategies, for all streams.

const { shared } = native;

class Queue {
  #items = [];
  #head = 0;
  total = 0;
  get length() {
    return this.#items.length - this.#head;
  }
  push(value, size) {
    if (typeof size !== "number" || !(size >= 0) || size === Infinity) throw new RangeError("The size of a chunk must be finite and not negative");
    this.#items.push({ value, size });
    this.total += size;
  }
  peek() {
    return this.#items[this.#head]?.value;
  }
  shift() {
    const { value, size } = this.#items[this.#head];
    this.#items[this.#head++] = undefined;
    // Moving the rest only when half is empty keeps shifting cheap.
    if (this.#head > 32 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    this.total = this.length === 0 ? 0 : Math.max(0, this.total - size);
    return value;
  }
  clear() {
    this.#items = [];
    this.#head = 0;
    this.total = 0;
  }
}
shared.Queue = Queue;

shared.highWaterMark = (strategy, fallback) => {
  const value = strategy?.highWaterMark;
  if (value === undefined) return fallback;
  const mark = Number(value);
  if (Number.isNaN(mark) || mark < 0) throw new RangeError("Invalid highWaterMark");
  return mark;
};

shared.sizeOf = (strategy) => {
  const size = strategy?.size;
  if (size === undefined) return () => 1;
  if (typeof size !== "function") throw new TypeError("size must be a function");
  return (chunk) => Number(size(chunk));
};

/** `source[name]` as a function bound to the source, or undefined. */
shared.method = (source, name) => {
  const method = source?.[name];
  if (method === undefined) return undefined;
  if (typeof method !== "function") throw new TypeError(`${name} must be a function`);
  return (...args) => Reflect.apply(method, source, args);
};

/** Calls and makes every outcome a promise. */
shared.promiseCall = (callback, ...args) => {
  try {
    return Promise.resolve(callback?.(...args));
  } catch (error) {
    return Promise.reject(error);
  }
};

shared.rejected = (promise) => {
  shared.markHandled(promise);
  return promise;
};

const one = function size() {
  return 1;
};
const byteLength = function size(chunk) {
  return chunk.byteLength;
};

function strategy(name, size) {
  const Class = {
    [name]: class {
      #mark;
      constructor(init) {
        if (init === null || typeof init !== "object" || !("highWaterMark" in init)) {
          throw new TypeError(`${name}: highWaterMark is required`);
        }
        this.#mark = Number(init.highWaterMark);
      }
      get highWaterMark() {
        return this.#mark;
      }
      get size() {
        void this.#mark;
        return size;
      }
    },
  }[name];
  shared.expose(name, Class);
}
strategy("CountQueuingStrategy", one);
strategy("ByteLengthQueuingStrategy", byteLength);
