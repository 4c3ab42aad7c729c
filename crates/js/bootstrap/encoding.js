// TextEncoder, TextDecoder, atob, btoa. The tables of the legacy encodings are the operations'.

const { shared } = native;

class TextEncoder {
  get encoding() {
    return "utf-8";
  }
  encode(input = "") {
    return shared.encode(`${input}`);
  }
  encodeInto(source, destination) {
    shared.atLeast(arguments.length, 2, "TextEncoder.encodeInto");
    source = `${source}`;
    if (!(destination instanceof Uint8Array)) throw new TypeError("TextEncoder.encodeInto: destination is not a Uint8Array");
    // A code unit takes at most 3 bytes, so this many fit for certain; the rest goes in one by one.
    let read = Math.min(source.length, Math.floor(destination.length / 3));
    if (read > 0 && /[\ud800-\udbff]/.test(source[read - 1])) read -= 1;
    const bytes = shared.encode(source.slice(0, read));
    destination.set(bytes);
    let written = bytes.length;
    for (const character of source.slice(read)) {
      const more = shared.encode(character);
      if (written + more.length > destination.length) break;
      destination.set(more, written);
      written += more.length;
      read += character.length;
    }
    return { read, written };
  }
}

const NOTHING = new Uint8Array(0);

class TextDecoder {
  #encoding;
  #fatal;
  #ignoreBOM;
  /** Bytes at the end of the last chunk that make no whole character yet. */
  #rest = NOTHING;
  #atStart = true;
  constructor(label = "utf-8", options = {}) {
    const encoding = native.call("text.label", `${label}`);
    if (encoding === null) {
      throw new DOMException(`The encoding label provided ('${label}') is invalid.`, "RangeError");
    }
    this.#encoding = encoding;
    this.#fatal = Boolean(options?.fatal);
    this.#ignoreBOM = Boolean(options?.ignoreBOM);
  }
  get encoding() {
    return this.#encoding;
  }
  get fatal() {
    return this.#fatal;
  }
  get ignoreBOM() {
    return this.#ignoreBOM;
  }
  decode(input = NOTHING, options = {}) {
    const stream = Boolean(options?.stream);
    let bytes = shared.view(input, "TextDecoder.decode");
    if (this.#rest.length > 0) bytes = shared.concat([this.#rest, bytes]);
    let answer;
    try {
      answer = native.call("text.decode", this.#encoding, bytes, this.#fatal, stream);
    } catch (error) {
      this.#rest = NOTHING;
      this.#atStart = true;
      throw error;
    }
    let text = answer[0];
    this.#rest = answer[1];
    const hasMark = this.#atStart && !this.#ignoreBOM && text.charCodeAt(0) === 0xfeff && this.#encoding.startsWith("utf-");
    this.#atStart = stream ? this.#atStart && text === "" : true;
    if (hasMark) text = text.slice(1);
    return text;
  }
}

shared.expose("TextEncoder", TextEncoder);
shared.expose("TextDecoder", TextDecoder);

shared.global("atob", function atob(data) {
  shared.atLeast(arguments.length, 1, "atob");
  const bytes = native.call("base64.decode", `${data}`);
  if (bytes === null) {
    throw new DOMException("The string to be decoded is not correctly encoded.", "InvalidCharacterError");
  }
  return shared.binaryString(bytes);
});

shared.global("btoa", function btoa(data) {
  shared.atLeast(arguments.length, 1, "btoa");
  data = `${data}`;
  const bytes = new Uint8Array(data.length);
  for (let i = 0; i < data.length; i++) {
    const code = data.charCodeAt(i);
    if (code > 255) {
      const message = "The string to be encoded contains characters outside of the Latin1 range.";
      throw new DOMException(message, "InvalidCharacterError");
    }
    bytes[i] = code;
  }
  return native.call("base64.encode", bytes);
});

/** One code unit per byte, in steps that fit the argument limit of a call. */
shared.binaryString = (bytes) => {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return text;
};
