// AbortController and AbortSignal.

const { shared } = native;
const secret = Symbol("internal");
let abortSignal, sourcesOf, follow;

const abortError = () => new DOMException("The signal has been aborted", "AbortError");

class AbortSignal extends EventTarget {
  #aborted = false;
  #reason = undefined;
  /** Signals of `AbortSignal.any` this one passes its abort on to. */
  #dependents = new Set();
  #sources = null;
  static {
    sourcesOf = (signal) => signal.#sources;
    follow = (dependent, sources) => {
      dependent.#sources = sources;
      for (const source of sources) source.#dependents.add(dependent);
    };
    abortSignal = (signal, reason) => {
      if (signal.#aborted) return;
      const all = [signal, ...signal.#dependents].filter((each) => !each.#aborted);
      for (const each of all) {
        each.#aborted = true;
        each.#reason = reason;
      }
      signal.#dependents.clear();
      for (const each of all) shared.dispatchTrusted(each, new Event("abort"));
    };
    /** Calls back when the signal aborts, after its own listeners. */
    shared.onAbort = (signal, callback) => signal.addEventListener("abort", callback, { once: true });
    shared.isAbortSignal = (value) => typeof value === "object" && value !== null && #aborted in value;
  }
  constructor(key) {
    if (key !== secret) shared.illegal();
    super();
  }
  static abort(reason = abortError()) {
    const signal = new AbortSignal(secret);
    abortSignal(signal, reason);
    return signal;
  }
  static any(signals) {
    const result = new AbortSignal(secret);
    const sources = new Set();
    for (const signal of signals) {
      if (!shared.isAbortSignal(signal)) throw new TypeError("AbortSignal.any: not an AbortSignal");
      if (signal.aborted) {
        abortSignal(result, signal.reason);
        return result;
      }
      for (const source of sourcesOf(signal) ?? [signal]) sources.add(source);
    }
    follow(result, sources);
    return result;
  }
  static timeout(milliseconds) {
    shared.atLeast(arguments.length, 1, "AbortSignal.timeout");
    const signal = new AbortSignal(secret);
    setTimeout(() => abortSignal(signal, new DOMException("The operation timed out.", "TimeoutError")), milliseconds);
    return signal;
  }
  get aborted() {
    return this.#aborted;
  }
  get reason() {
    return this.#reason;
  }
  throwIfAborted() {
    if (this.#aborted) throw this.#reason;
  }
}
shared.eventAttribute(AbortSignal, "abort");

class AbortController {
  #signal = new AbortSignal(secret);
  get signal() {
    return this.#signal;
  }
  abort(reason = abortError()) {
    abortSignal(this.#signal, reason);
  }
}

shared.expose("AbortSignal", AbortSignal);
shared.expose("AbortController", AbortController);
