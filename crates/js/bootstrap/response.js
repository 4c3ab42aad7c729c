// Response.

const { shared } = native;

const NULL_BODY = [204, 205, 304];
const REDIRECTS = [301, 302, 303, 307, 308];

let bodyOf;

class Response {
  #status = 200;
  #statusText = "";
  #headers;
  #body = null;
  #type = "default";
  #url = "";
  #redirected = false;
  static {
    bodyOf = (response) => response.#body;
    shared.isResponse = (value) => typeof value === "object" && value !== null && #status in value;
    /** Makes the response of a fetch: { status, statusText, headers, body, type, url, redirected }. */
    shared.makeResponse = (parts) => {
      const response = new Response();
      response.#status = parts.status;
      response.#statusText = parts.statusText ?? "";
      response.#headers = parts.headers ?? response.#headers;
      response.#body = parts.body ?? null;
      response.#type = parts.type ?? "default";
      response.#url = parts.url ?? "";
      response.#redirected = parts.redirected ?? false;
      return response;
    };
    shared.responseBody = bodyOf;
  }
  constructor(body = null, init = {}) {
    if (init === null) init = {};
    if (typeof init !== "object" && typeof init !== "function") throw new TypeError("Response: the init is not an object");
    if (init.status !== undefined) {
      const status = Math.trunc(Number(init.status)) || 0;
      if (status < 200 || status > 599) {
        throw new RangeError(`The status provided (${init.status}) is not equal to 101 and outside the range [200, 599].`);
      }
      this.#status = status;
    }
    if (init.statusText !== undefined) {
      this.#statusText = `${init.statusText}`;
      if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(this.#statusText)) throw new TypeError("Response: invalid statusText");
    }
    this.#headers = new Headers(init.headers ?? undefined);
    this.#body = shared.extractBody(body);
    if (this.#body !== null) {
      if (NULL_BODY.includes(this.#status)) throw new TypeError("Response with null body status cannot have body");
      if (this.#body.type !== null && !this.#headers.has("content-type")) this.#headers.set("content-type", this.#body.type);
    }
  }
  static error() {
    return shared.makeResponse({ status: 500, type: "error", headers: shared.freezeHeaders(new Headers()) });
  }
  static json(data, init = {}) {
    shared.atLeast(arguments.length, 1, "Response.json");
    const text = JSON.stringify(data);
    if (text === undefined) throw new TypeError("Response.json: the value is not JSON serializable");
    const headers = new Headers(init?.headers ?? undefined);
    if (!headers.has("content-type")) headers.set("content-type", "application/json");
    return new Response(text, { ...init, status: init?.status, statusText: init?.statusText, headers });
  }
  static redirect(url, status = 302) {
    shared.atLeast(arguments.length, 1, "Response.redirect");
    const parsed = URL.parse(url);
    if (parsed === null) throw new TypeError(`Response.redirect: invalid URL '${url}'`);
    status = Number(status);
    if (!REDIRECTS.includes(status)) throw new RangeError(`Response.redirect: invalid status ${status}`);
    return shared.makeResponse({ status, headers: shared.freezeHeaders(new Headers({ location: parsed.href })) });
  }
  get type() {
    return this.#type;
  }
  get url() {
    return this.#url;
  }
  get redirected() {
    return this.#redirected;
  }
  get status() {
    return this.#status;
  }
  get ok() {
    return this.#status >= 200 && this.#status <= 299;
  }
  get statusText() {
    return this.#statusText;
  }
  get headers() {
    return this.#headers;
  }
  clone() {
    if (shared.isUnusable(this.#body)) throw new TypeError("Response.clone: the body was used");
    return shared.makeResponse({
      status: this.#status,
      statusText: this.#statusText,
      headers: new Headers(this.#headers),
      body: shared.cloneBody(this.#body),
      type: this.#type,
      url: this.#url,
      redirected: this.#redirected,
    });
  }
}

shared.addBody(Response, (response) => bodyOf(response));
shared.expose("Response", Response);
