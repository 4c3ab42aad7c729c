// AsyncLocalStorage and AsyncResource over the engine's continuation-preserved slot, which holds an immutable Map from
// storage to store, or undefined.

const { shared } = native;
const current = native.asyncContextGet;

/** Runs with another context and puts the old one back, also when it throws. */
function within(context, callback, thisArg, args) {
  const saved = current();
  native.asyncContextSet(context);
  try {
    return Reflect.apply(callback, thisArg, args);
  } finally {
    native.asyncContextSet(saved);
  }
}

/** Calls back in the context there is now, whatever there is then. */
shared.inCurrentContext = (callback) => {
  const context = current();
  return (thisArg, args) => within(context, callback, thisArg, args);
};

function changed(storage, has, store) {
  const context = new Map(current());
  if (has) context.set(storage, store);
  else context.delete(storage);
  return context;
}

class AsyncLocalStorage {
  #default;
  #name;
  constructor(options = {}) {
    this.#default = options?.defaultValue;
    this.#name = options?.name === undefined ? "" : String(options.name);
  }
  static bind(callback) {
    const snapshot = AsyncLocalStorage.snapshot();
    return function (...args) {
      return snapshot.call(this, callback, ...args);
    };
  }
  static snapshot() {
    const context = current();
    return function (callback, ...args) {
      return within(context, callback, this, args);
    };
  }
  get name() {
    return this.#name;
  }
  run(store, callback, ...args) {
    return within(changed(this, true, store), callback, undefined, args);
  }
  exit(callback, ...args) {
    return within(changed(this, false), callback, undefined, args);
  }
  enterWith(store) {
    native.asyncContextSet(changed(this, true, store));
  }
  disable() {
    native.asyncContextSet(changed(this, false));
  }
  getStore() {
    const context = current();
    return context !== undefined && context.has(this) ? context.get(this) : this.#default;
  }
}

class AsyncResource {
  #context = current();
  static bind(callback, type, thisArg) {
    return new AsyncResource(type ?? callback.name).bind(callback, thisArg);
  }
  runInAsyncScope(callback, thisArg, ...args) {
    return within(this.#context, callback, thisArg, args);
  }
  bind(callback, thisArg) {
    const resource = this;
    return function (...args) {
      return within(resource.#context, callback, thisArg === undefined ? this : thisArg, args);
    };
  }
  asyncId() {
    return 0;
  }
  triggerAsyncId() {
    return 0;
  }
  emitDestroy() {
    return this;
  }
}

shared.global("AsyncLocalStorage", AsyncLocalStorage);
shared.global("AsyncResource", AsyncResource);
