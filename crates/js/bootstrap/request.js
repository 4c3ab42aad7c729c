// Request.

const { shared } = native;

const STANDARD_METHODS = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];

function checkedMethod(method) {
  method = `${method}`;
  if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(method)) throw new TypeError(`Request: invalid method '${method}'`);
  const upper = method.toUpperCase();
  if (["CONNECT", "TRACE", "TRACK"].includes(upper)) throw new TypeError(`Request: method '${method}' is forbidden`);
  return STANDARD_METHODS.includes(upper) ? upper : method;
}

let bodyOf;

class Request {
  #url;
  #method = "GET";
  #headers;
  #body = null;
  #redirect = "follow";
  #signal;
  static {
    bodyOf = (request) => request.#body;
    shared.isRequest = (value) => typeof value === "object" && value !== null && #url in value;
    shared.requestParts = (request) => ({ body: request.#body, redirect: request.#redirect });
  }
  constructor(input, init = {}) {
    shared.atLeast(arguments.length, 1, "Request");
    if (init === null) init = {};
    if (typeof init !== "object" && typeof init !== "function") throw new TypeError("Request: the init is not an object");
    const source = shared.isRequest(input) ? input : undefined;
    let signal = source?.signal;
    if (source !== undefined) {
      this.#url = source.#url;
      this.#method = source.#method;
      this.#redirect = source.#redirect;
    } else {
      const url = URL.parse(input);
      if (url === null) throw new TypeError(`Request: invalid URL '${input}'`);
      if (url.username !== "" || url.password !== "") throw new TypeError("Request: the URL has credentials");
      this.#url = url.href;
    }
    if (init.method !== undefined) this.#method = checkedMethod(init.method);
    if (init.redirect !== undefined) {
      if (!["follow", "error", "manual"].includes(init.redirect)) throw new TypeError(`Request: unknown redirect '${init.redirect}'`);
      this.#redirect = init.redirect;
    }
    if (init.signal !== undefined) {
      signal = init.signal;
      if (signal !== null && !shared.isAbortSignal(signal)) throw new TypeError("Request: signal is not an AbortSignal");
    }
    this.#signal = AbortSignal.any(signal ? [signal] : []);
    this.#headers = new Headers(init.headers ?? source?.headers);
    const given = init.body ?? null;
    const inherited = source === undefined ? null : source.#body;
    if ((given !== null || inherited !== null) && (this.#method === "GET" || this.#method === "HEAD")) {
      throw new TypeError("Request with GET/HEAD method cannot have body");
    }
    if (given !== null) {
      this.#body = shared.extractBody(given);
      if (this.#body.type !== null && !this.#headers.has("content-type")) this.#headers.set("content-type", this.#body.type);
    } else if (inherited !== null) {
      if (shared.isUnusable(inherited)) throw new TypeError("Request: the body of the given request was used");
      this.#body = shared.takeBody(inherited);
    }
  }
  get method() {
    return this.#method;
  }
  get url() {
    return this.#url;
  }
  get headers() {
    return this.#headers;
  }
  get signal() {
    return this.#signal;
  }
  clone() {
    if (shared.isUnusable(this.#body)) throw new TypeError("Request.clone: the body was used");
    const init = { method: this.#method, headers: this.#headers, signal: this.#signal, redirect: this.#redirect };
    const copy = new Request(this.#url, init);
    copy.#body = shared.cloneBody(this.#body);
    return copy;
  }
}

const ABSENT = [
  "destination", "referrer", "referrerPolicy", "mode", "credentials", "cache", "redirect", "integrity", "keepalive",
  "isReloadNavigation", "isHistoryNavigation", "duplex",
];
for (const name of ABSENT) {
  Object.defineProperty(Request.prototype, name, {
    get() {
      bodyOf(this);
      return shared.notImplemented(name, "Request");
    },
    configurable: true,
  });
}
shared.addBody(Request, (request) => bodyOf(request));
shared.expose("Request", Request);
