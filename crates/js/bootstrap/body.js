// Bodies of requests and responses. State: { bytes | null, stream | null, used, type }; a stream is made only when asked.

const { shared } = native;
const { readable } = shared;

/** Reads what `new Request`/`new Response` take as a body; null for no body. */
shared.extractBody = (value) => {
  if (value === null || value === undefined) return null;
  const body = { bytes: null, stream: null, used: false, type: null };
  if (readable.is(value)) {
    if (value.locked || readable.coreOf(value).disturbed) throw new TypeError("The body's stream is locked or was read from");
    body.stream = value;
  } else if (shared.isBlob(value)) {
    body.bytes = shared.blobBytes(value);
    body.type = value.type || null;
  } else if (shared.isBufferSource(value)) {
    body.bytes = shared.view(value, "body").slice();
  } else if (shared.isFormData(value)) {
    Object.assign(body, shared.encodeForm(value));
  } else if (shared.isSearchParams(value)) {
    body.bytes = shared.encode(value.toString());
    body.type = "application/x-www-form-urlencoded;charset=UTF-8";
  } else {
    body.bytes = shared.encode(`${value}`);
    body.type = "text/plain;charset=UTF-8";
  }
  return body;
};

const isUsed = (body) => body !== null && (body.used || (body.stream !== null && readable.coreOf(body.stream).disturbed));
shared.isUnusable = (body) => body !== null && (isUsed(body) || body.stream?.locked === true);

/** A second body with the same content. */
shared.cloneBody = (body) => {
  if (body === null) return null;
  if (body.stream === null) return { ...body };
  const [mine, other] = shared.tee(readable.coreOf(body.stream), true);
  body.stream = mine;
  return { ...body, bytes: null, stream: other };
};

/** Moves a body to a new owner; the old one counts as used. */
shared.takeBody = (body) => {
  if (body === null) return null;
  const taken = { ...body };
  body.used = true;
  return taken;
};

async function consume(body) {
  if (shared.isUnusable(body)) throw new TypeError("Body is unusable: it was read already or is locked");
  if (body === null) return new Uint8Array(0);
  body.used = true;
  return body.stream === null ? body.bytes : shared.readAll(body.stream);
}

/** Adds the body's members; `bodyOf(object)` throws for foreign objects. */
shared.addBody = (Class, bodyOf) => {
  const methods = {
    get body() {
      const body = bodyOf(this);
      if (body === null) return null;
      if (body.stream === null) {
        body.stream = shared.streamOf(body.bytes);
        // Bytes that were read already leave a stream that is at its end.
        if (body.used) readable.coreOf(body.stream).disturbed = true;
      }
      return body.stream;
    },
    get bodyUsed() {
      return isUsed(bodyOf(this));
    },
    async arrayBuffer() {
      return shared.bufferOf(await consume(bodyOf(this)));
    },
    async blob() {
      const type = this.headers.get("content-type") ?? "";
      return shared.blobFrom((await consume(bodyOf(this))).slice(), type);
    },
    async bytes() {
      return (await consume(bodyOf(this))).slice();
    },
    async formData() {
      const type = this.headers.get("content-type") ?? "";
      const form = shared.decodeForm(await consume(bodyOf(this)), type);
      if (form === undefined) throw new TypeError("The body is not a valid form");
      return form;
    },
    async json() {
      return JSON.parse(shared.decode(await consume(bodyOf(this))));
    },
    async text() {
      return shared.decode(await consume(bodyOf(this)));
    },
  };
  Object.defineProperties(Class.prototype, Object.getOwnPropertyDescriptors(methods));
};
