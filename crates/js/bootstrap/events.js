// Event and EventTarget, without a tree: an event visits one target. globalThis is a target too.

const { shared } = native;

const PHASES = { NONE: 0, CAPTURING_PHASE: 1, AT_TARGET: 2, BUBBLING_PHASE: 3 };
let dispatchState;

class Event {
  #type;
  #bubbles;
  #cancelable;
  #composed;
  #timeStamp = undefined;
  #trusted = false;
  #target = null;
  #dispatching = false;
  #stopped = false;
  #stoppedNow = false;
  #prevented = false;
  #passive = false;
  static {
    // What dispatching may see and change of an event.
    dispatchState = {
      is: (value) => typeof value === "object" && value !== null && #type in value,
      start(event, target, trusted) {
        event.#trusted = trusted;
        event.#target = target;
        event.#dispatching = true;
      },
      isRunning: (event) => event.#dispatching,
      isStopped: (event) => event.#stoppedNow,
      passive(event, passive) {
        event.#passive = passive;
      },
      end(event) {
        event.#dispatching = event.#stopped = event.#stoppedNow = false;
        return !event.#prevented;
      },
    };
  }
  constructor(type, options = {}) {
    shared.atLeast(arguments.length, 1, "Event");
    this.#type = `${type}`;
    this.#bubbles = Boolean(options?.bubbles);
    this.#cancelable = Boolean(options?.cancelable);
    this.#composed = Boolean(options?.composed);
  }
  get type() {
    return this.#type;
  }
  get target() {
    return this.#target;
  }
  get srcElement() {
    return this.#target;
  }
  get currentTarget() {
    return this.#dispatching ? this.#target : null;
  }
  get eventPhase() {
    return this.#dispatching ? PHASES.AT_TARGET : PHASES.NONE;
  }
  get bubbles() {
    return this.#bubbles;
  }
  get cancelable() {
    return this.#cancelable;
  }
  get composed() {
    return this.#composed;
  }
  get defaultPrevented() {
    return this.#prevented;
  }
  get returnValue() {
    return !this.#prevented;
  }
  set returnValue(value) {
    if (!value) this.preventDefault();
  }
  get cancelBubble() {
    return this.#stopped;
  }
  set cancelBubble(value) {
    if (value) this.#stopped = true;
  }
  get isTrusted() {
    return this.#trusted;
  }
  get timeStamp() {
    // Read the clock only when asked: it would count as having observed the time.
    return (this.#timeStamp ??= native.performanceNow());
  }
  composedPath() {
    return this.#dispatching ? [this.#target] : [];
  }
  stopPropagation() {
    this.#stopped = true;
  }
  stopImmediatePropagation() {
    this.#stopped = this.#stoppedNow = true;
  }
  preventDefault() {
    if (this.#cancelable && !this.#passive) this.#prevented = true;
  }
  initEvent(type, bubbles = false, cancelable = false) {
    if (this.#dispatching) return;
    this.#type = `${type}`;
    this.#bubbles = Boolean(bubbles);
    this.#cancelable = Boolean(cancelable);
    this.#prevented = this.#stopped = this.#stoppedNow = false;
  }
}
for (const name of Object.keys(PHASES)) {
  for (const holder of [Event, Event.prototype]) Object.defineProperty(holder, name, { value: PHASES[name], enumerable: true });
}

/** type → listeners, per target; globalThis cannot carry a private field. */
const targets = new WeakMap();

function listenersOf(target) {
  const listeners = targets.get(target ?? globalThis);
  if (listeners === undefined) throw new TypeError("Illegal invocation");
  return listeners;
}

function addListener(target, type, callback, options) {
  const listeners = listenersOf(target);
  if (callback === null || callback === undefined) return;
  if (typeof callback !== "function" && typeof callback !== "object") {
    throw new TypeError("addEventListener: the listener is not a function or object");
  }
  const isObject = typeof options === "object" && options !== null;
  const capture = Boolean(isObject ? options.capture : options);
  const signal = isObject ? options.signal : undefined;
  if (signal?.aborted) return;
  type = `${type}`;
  const list = listeners.get(type) ?? [];
  if (list.some((entry) => entry.callback === callback && entry.capture === capture)) return;
  const entry = { callback, capture, once: Boolean(isObject && options.once), passive: Boolean(isObject && options.passive), removed: false };
  listeners.set(type, [...list, entry]);
  signal?.addEventListener("abort", () => remove(listeners, type, entry));
}

function remove(listeners, type, entry) {
  entry.removed = true;
  const left = listeners.get(type)?.filter((other) => other !== entry);
  if (left?.length > 0) listeners.set(type, left);
  else listeners.delete(type);
}

/** Calls the listeners of `target`; false when one prevented the default. */
function dispatch(target, event, trusted) {
  const listeners = listenersOf(target);
  dispatchState.start(event, target, trusted);
  for (const entry of listeners.get(event.type) ?? []) {
    if (entry.removed) continue;
    if (entry.once) remove(listeners, event.type, entry);
    dispatchState.passive(event, entry.passive);
    try {
      const { callback } = entry;
      if (typeof callback === "function") callback.call(target, event);
      else callback.handleEvent(event);
    } catch (error) {
      // Nobody called us who could catch it: it counts as an unhandled rejection.
      Promise.reject(error);
    }
    dispatchState.passive(event, false);
    if (dispatchState.isStopped(event)) break;
  }
  return dispatchState.end(event);
}

class EventTarget {
  constructor() {
    targets.set(this, new Map());
  }
  addEventListener(type, callback, options) {
    shared.atLeast(arguments.length, 2, "EventTarget.addEventListener");
    addListener(this, type, callback, options);
  }
  removeEventListener(type, callback, options) {
    shared.atLeast(arguments.length, 2, "EventTarget.removeEventListener");
    const capture = Boolean(typeof options === "object" && options !== null ? options.capture : options);
    const listeners = listenersOf(this);
    const found = listeners.get(`${type}`)?.find((entry) => entry.callback === callback && entry.capture === capture);
    if (found) remove(listeners, `${type}`, found);
  }
  dispatchEvent(event) {
    if (!dispatchState.is(event)) throw new TypeError("EventTarget.dispatchEvent: argument is not an Event");
    if (dispatchState.isRunning(event)) throw new DOMException("The event is already being dispatched.", "InvalidStateError");
    return dispatch(this ?? globalThis, event, false);
  }
}

/** Adds an `on<type>` attribute to a class of targets. */
shared.eventAttribute = (Class, type) => {
  const handlers = new WeakMap();
  Object.defineProperty(Class.prototype, `on${type}`, {
    get() {
      return handlers.get(this)?.handler ?? null;
    },
    set(handler) {
      if (typeof handler !== "function" && (typeof handler !== "object" || handler === null)) handler = null;
      const slot = handlers.get(this);
      if (slot !== undefined) {
        slot.handler = handler;
      } else if (handler !== null) {
        const fresh = { handler };
        handlers.set(this, fresh);
        addListener(this, type, (event) => typeof fresh.handler === "function" && fresh.handler.call(this, event));
      }
    },
    configurable: true,
  });
};
shared.dispatchTrusted = (target, event) => dispatch(target, event, true);

shared.expose("Event", Event);
shared.expose("EventTarget", EventTarget);

targets.set(globalThis, new Map());
for (const name of ["addEventListener", "removeEventListener", "dispatchEvent"]) {
  shared.global(name, EventTarget.prototype[name]);
}
shared.global("self", globalThis);
