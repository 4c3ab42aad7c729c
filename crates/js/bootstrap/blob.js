// Blob, File and FormData, all bytes in memory.

const { shared } = native;
const { usv } = shared;

let bytesOf;

const normalizedType = (type) => (/^[\x20-\x7e]*$/.test(type) ? type.toLowerCase() : "");

function partBytes(part, native) {
  if (shared.isBufferSource(part)) return shared.view(part, "Blob").slice();
  if (shared.isBlob(part)) return bytesOf(part);
  const text = usv(part);
  return shared.encode(native ? text.replace(/\r\n|\r/g, "\n") : text);
}

class Blob {
  /** Never changed after construction, so slices may share it. */
  #bytes;
  #type;
  static {
    bytesOf = shared.blobBytes = (blob) => blob.#bytes;
    shared.isBlob = (value) => typeof value === "object" && value !== null && #bytes in value;
    shared.blobFrom = (bytes, type) => {
      const blob = new Blob([], { type });
      blob.#bytes = bytes;
      return blob;
    };
  }
  constructor(parts = [], options = {}) {
    if (parts === null || typeof parts !== "object" || typeof parts[Symbol.iterator] !== "function") {
      throw new TypeError("Blob: the parts are not a sequence");
    }
    if (options !== null && typeof options !== "object" && typeof options !== "function") throw new TypeError("Blob: options is not an object");
    const endings = options?.endings === undefined ? "transparent" : `${options.endings}`;
    if (endings !== "transparent" && endings !== "native") throw new TypeError(`Blob: unknown endings '${endings}'`);
    this.#type = normalizedType(options?.type === undefined ? "" : `${options.type}`);
    this.#bytes = shared.concat(Array.from(parts, (part) => partBytes(part, endings === "native")));
  }
  get size() {
    return this.#bytes.length;
  }
  get type() {
    return this.#type;
  }
  slice(start = 0, end = this.#bytes.length, type = "") {
    const clamp = (position) => Math.max(-Number.MAX_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, Math.round(Number(position)) || 0));
    const from = clamp(start);
    const to = clamp(end);
    const absolute = (at) => (at < 0 ? Math.max(this.#bytes.length + at, 0) : Math.min(at, this.#bytes.length));
    return shared.blobFrom(this.#bytes.subarray(absolute(from), Math.max(absolute(from), absolute(to))), normalizedType(`${type}`));
  }
  stream() {
    return shared.streamOf(this.#bytes);
  }
  async text() {
    return native.call("text.decode", "utf-8", this.#bytes, false, false)[0].replace(/^\ufeff/, "");
  }
  async arrayBuffer() {
    return shared.bufferOf(this.#bytes);
  }
  async bytes() {
    return this.#bytes.slice();
  }
}

/** A byte stream of these bytes in one chunk. */
shared.streamOf = (bytes) =>
  new ReadableStream({
    type: "bytes",
    start(controller) {
      if (bytes.length > 0) controller.enqueue(bytes);
      controller.close();
    },
  });

class File extends Blob {
  #name;
  #lastModified;
  constructor(parts, name, options = {}) {
    shared.atLeast(arguments.length, 2, "File");
    super(parts, options);
    this.#name = usv(name);
    const time = options?.lastModified;
    this.#lastModified = time === undefined ? undefined : Math.trunc(Number(time)) || 0;
  }
  get name() {
    return this.#name;
  }
  get lastModified() {
    // Read the clock only when asked: it would count as having observed the time.
    return (this.#lastModified ??= native.now());
  }
  get webkitRelativePath() {
    void this.#name;
    return "";
  }
}

let pairsOf;

function entryValue(value, filename, count) {
  if (!shared.isBlob(value)) {
    if (count > 2) throw new TypeError("FormData: a file name needs a Blob");
    return usv(value);
  }
  if (value instanceof File && filename === undefined) return value;
  const name = filename !== undefined ? filename : value instanceof File ? value.name : "blob";
  const options = { type: value.type };
  if (value instanceof File) options.lastModified = value.lastModified;
  return new File([value], name, options);
}

class FormData {
  #pairs = [];
  static {
    pairsOf = shared.formPairs = (form) => form.#pairs;
    shared.isFormData = (value) => typeof value === "object" && value !== null && #pairs in value;
  }
  constructor(form = undefined) {
    if (form !== undefined) throw new TypeError("FormData: forms of documents are not supported");
  }
  append(name, value, filename) {
    shared.atLeast(arguments.length, 2, "FormData.append");
    this.#pairs.push([usv(name), entryValue(value, filename, arguments.length)]);
  }
  delete(name) {
    shared.atLeast(arguments.length, 1, "FormData.delete");
    name = usv(name);
    this.#pairs = this.#pairs.filter((pair) => pair[0] !== name);
  }
  get(name) {
    shared.atLeast(arguments.length, 1, "FormData.get");
    name = usv(name);
    return this.#pairs.find((pair) => pair[0] === name)?.[1] ?? null;
  }
  getAll(name) {
    shared.atLeast(arguments.length, 1, "FormData.getAll");
    name = usv(name);
    return this.#pairs.filter((pair) => pair[0] === name).map((pair) => pair[1]);
  }
  has(name) {
    shared.atLeast(arguments.length, 1, "FormData.has");
    name = usv(name);
    return this.#pairs.some((pair) => pair[0] === name);
  }
  set(name, value, filename) {
    shared.atLeast(arguments.length, 2, "FormData.set");
    name = usv(name);
    const entry = [name, entryValue(value, filename, arguments.length)];
    const first = this.#pairs.findIndex((pair) => pair[0] === name);
    if (first < 0) {
      this.#pairs.push(entry);
    } else {
      this.#pairs[first] = entry;
      this.#pairs = this.#pairs.filter((pair, at) => at <= first || pair[0] !== name);
    }
  }
}
shared.makeIterable("FormData", FormData, pairsOf);

const lines = (text) => text.replace(/\r\n|\r|\n/g, "\r\n");
const quoted = (text) => text.replace(/\n/g, "%0A").replace(/\r/g, "%0D").replace(/"/g, "%22");

/** Encodes as multipart/form-data; returns { bytes, type }. */
shared.encodeForm = (form) => {
  let boundary = "----formdata-";
  for (let i = 0; i < 24; i++) boundary += Math.floor(native.random() * 36).toString(36);
  const chunks = [];
  for (const [name, value] of pairsOf(form)) {
    let head = `--${boundary}\r\nContent-Disposition: form-data; name="${quoted(lines(name))}"`;
    if (typeof value === "string") {
      chunks.push(shared.encode(`${head}\r\n\r\n${lines(value)}\r\n`));
    } else {
      head += `; filename="${quoted(value.name)}"\r\nContent-Type: ${value.type || "application/octet-stream"}\r\n\r\n`;
      chunks.push(shared.encode(head), bytesOf(value), shared.encode("\r\n"));
    }
  }
  chunks.push(shared.encode(`--${boundary}--\r\n`));
  return { bytes: shared.concat(chunks), type: `multipart/form-data; boundary=${boundary}` };
};

/** Decodes the two form types; undefined when the bytes are malformed or the type is another. */
shared.decodeForm = (bytes, type) => {
  const essence = type.split(";")[0].trim().toLowerCase();
  const form = new FormData();
  if (essence === "application/x-www-form-urlencoded") {
    for (const [name, value] of new URLSearchParams(shared.decode(bytes).replace(/^\?/, "%3F"))) form.append(name, value);
    return form;
  }
  if (essence !== "multipart/form-data") return undefined;
  shared.onlyInActions("formData()");
  const boundary = /;\s*boundary=(?:"([^"]+)"|([^;\s]+))/i.exec(type);
  const flat = boundary && native.call("multipart.parse", bytes, boundary[1] ?? boundary[2]);
  if (!flat) return undefined;
  for (let i = 0; i < flat.length; i += 4) {
    const [name, filename, contentType, content] = flat.slice(i, i + 4);
    if (filename === null) form.append(name, shared.decode(content));
    else form.append(name, new File([content], filename, { type: contentType ?? "text/plain" }));
  }
  return form;
};

shared.expose("Blob", Blob);
shared.expose("File", File);
shared.expose("FormData", FormData);
