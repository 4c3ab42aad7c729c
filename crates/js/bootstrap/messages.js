// MessageChannel: what libraries schedule their work with where there is one, and fail to load without (react-dom/server).

const { shared } = native;
const secret = Symbol("internal");
let entangle;

class MessageEvent extends Event {
  #data;
  constructor(type, init = {}) {
    super(type, init);
    this.#data = init?.data === undefined ? null : init.data;
  }
  get data() {
    return this.#data;
  }
  get origin() {
    return "";
  }
  get lastEventId() {
    return "";
  }
  get source() {
    return null;
  }
  get ports() {
    return [];
  }
}

class MessagePort extends EventTarget {
  #other = null;
  #handler = null;
  /** Messages wait here until the port is started; afterwards null. */
  #waiting = [];
  #closed = false;
  static {
    entangle = (a, b) => {
      a.#other = b;
      b.#other = a;
    };
  }
  constructor(key) {
    if (key !== secret) shared.illegal();
    super();
    this.addEventListener("message", (event) => this.#handler?.call(this, event));
  }
  postMessage(message, transfer = undefined) {
    shared.atLeast(arguments.length, 1, "MessagePort.postMessage");
    if (transfer !== undefined && [...(Array.isArray(transfer) ? transfer : (transfer?.transfer ?? []))].length > 0) {
      native.uncatchable("structuredClone with transfer not supported");
    }
    const data = structuredClone(message);
    const other = this.#other;
    if (other === null || other.#closed) return;
    if (other.#waiting !== null) other.#waiting.push(data);
    else other.#deliver(data);
  }
  /** Never within the call that sends, and in the order of sending. */
  #deliver(data) {
    Promise.resolve().then(() => {
      if (!this.#closed) shared.dispatchTrusted(this, new MessageEvent("message", { data }));
    });
  }
  start() {
    const waiting = this.#waiting ?? [];
    this.#waiting = null;
    for (const data of waiting) this.#deliver(data);
  }
  close() {
    this.#closed = true;
    if (this.#other !== null) this.#other.#closed = true;
  }
  get onmessage() {
    return this.#handler;
  }
  set onmessage(handler) {
    this.#handler = typeof handler === "function" ? handler : null;
    this.start();
  }
}

class MessageChannel {
  #port1 = new MessagePort(secret);
  #port2 = new MessagePort(secret);
  constructor() {
    entangle(this.#port1, this.#port2);
  }
  get port1() {
    return this.#port1;
  }
  get port2() {
    return this.#port2;
  }
}

shared.expose("MessageEvent", MessageEvent);
shared.expose("MessagePort", MessagePort);
shared.expose("MessageChannel", MessageChannel);
