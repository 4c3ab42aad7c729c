// Byte streams: ReadableStream of type "bytes" and readers that bring their own buffer (BYOB).
//
// Buffers are not detached when they are handed over, other than in the standard; enqueued chunks are copied instead.

const { shared } = native;
const { readable } = shared;
const { deferred } = shared;

/**
 * A view to be filled: { buffer, offset, length, filled, minimum, size (of an element), View, forDefault }.
 * `forDefault` marks a buffer allocated for a default reader.
 */
const remaining = (into) => new Uint8Array(into.buffer, into.offset + into.filled, into.length - into.filled);
const filledView = (into) => new into.View(into.buffer, into.offset, Math.floor(into.filled / into.size));

let invalidate;

class ByteController extends readable.Puller {
  pullIntos = [];
  autoAllocate = undefined;
  /** The facade handed out for the first of `pullIntos`. */
  request = null;

  #dropRequest() {
    if (this.request !== null) invalidate(this.request);
    this.request = null;
  }
  fail(error) {
    if (this.core.state !== "readable") return;
    this.#dropRequest();
    this.pullIntos = [];
    super.fail(error);
  }
  cancel(reason) {
    this.#dropRequest();
    this.pullIntos = [];
    return this.cancelWith(reason);
  }
  release() {
    // Bytes already written for a reader that left stay with the stream.
    if (this.pullIntos.length === 0) return;
    this.#dropRequest();
    this.pullIntos.length = 1;
    this.pullIntos[0].orphan = true;
  }
  close() {
    if (this.queue.length > 0) {
      this.closeRequested = true;
      return;
    }
    const first = this.pullIntos[0];
    if (first !== undefined && first.filled % first.size !== 0) {
      const error = new TypeError("Insufficient bytes to fill elements in the given buffer");
      this.fail(error);
      throw error;
    }
    this.closeRequested = true;
    this.clearSource();
    readable.close(this.core);
  }
  enqueue(view) {
    const bytes = shared.view(view, "enqueue").slice();
    const { reader } = this.core;
    this.#dropRequest();
    if (this.pullIntos[0]?.orphan) this.#takeOrphan();
    if (reader === undefined) {
      this.queue.push(bytes, bytes.length);
    } else if (reader.byob) {
      this.queue.push(bytes, bytes.length);
      this.#fillPending();
    } else if (reader.requests.length > 0 && this.queue.length === 0) {
      if (this.pullIntos.length > 0) this.pullIntos.shift();
      reader.requests.shift().chunk(bytes);
    } else {
      this.queue.push(bytes, bytes.length);
    }
    this.pullIfNeeded();
  }
  #takeOrphan() {
    const into = this.pullIntos.shift();
    if (into.filled > 0) {
      const bytes = new Uint8Array(into.buffer, into.offset, into.filled).slice();
      this.queue.push(bytes, bytes.length);
    }
  }
  /** A default reader wants a chunk. */
  pull(request) {
    if (this.queue.length > 0) {
      const chunk = this.queue.shift();
      this.#afterDrain();
      request.chunk(chunk);
      return;
    }
    if (this.autoAllocate !== undefined) {
      const buffer = new ArrayBuffer(this.autoAllocate);
      this.pullIntos.push({ buffer, offset: 0, length: buffer.byteLength, filled: 0, minimum: 1, size: 1, View: Uint8Array, forDefault: true });
    }
    this.core.reader.requests.push(request);
    this.pullIfNeeded();
  }
  /** A BYOB reader wants `view` filled with at least `minimum` elements. */
  pullInto(view, minimum, request) {
    const size = view instanceof DataView ? 1 : view.BYTES_PER_ELEMENT;
    const { buffer, byteOffset: offset, byteLength: length, constructor: View } = view;
    const into = { buffer, offset, length, filled: 0, minimum: minimum * size, size, View, forDefault: false };
    const { requests } = this.core.reader;
    if (this.pullIntos.length > 0) {
      this.pullIntos.push(into);
      requests.push(request);
      return;
    }
    if (this.core.state === "closed") {
      request.close(new View(buffer, offset, 0));
      return;
    }
    if (this.queue.length > 0) {
      if (this.#fill(into)) {
        this.#afterDrain();
        request.chunk(filledView(into));
        return;
      }
      if (this.closeRequested) {
        const error = new TypeError("Insufficient bytes to fill elements in the given buffer");
        this.fail(error);
        request.error(error);
        return;
      }
    }
    this.pullIntos.push(into);
    requests.push(request);
    this.pullIfNeeded();
  }
  #afterDrain() {
    if (this.queue.length === 0 && this.closeRequested) {
      this.clearSource();
      readable.close(this.core);
    } else {
      this.pullIfNeeded();
    }
  }
  /** Moves queued bytes into the view; true when it holds enough. What is no whole element stays queued. */
  #fill(into) {
    const possible = Math.min(this.queue.total, into.length - into.filled);
    const reached = into.filled + possible;
    const aligned = reached - (reached % into.size);
    const ready = aligned >= into.minimum;
    let left = ready ? aligned - into.filled : possible;
    while (left > 0) {
      const chunk = this.queue.shift();
      const part = chunk.subarray(0, left);
      remaining(into).set(part);
      into.filled += part.length;
      left -= part.length;
      if (part.length < chunk.length) this.#unshift(chunk.subarray(part.length));
    }
    return ready;
  }
  #unshift(bytes) {
    const rest = [bytes];
    while (this.queue.length > 0) rest.push(this.queue.shift());
    for (const chunk of rest) this.queue.push(chunk, chunk.length);
  }
  #fillPending() {
    while (this.pullIntos.length > 0 && this.queue.length > 0) {
      if (!this.#fill(this.pullIntos[0])) return;
      this.#commit(this.pullIntos.shift());
    }
  }
  #commit(into) {
    const request = this.core.reader?.requests.shift();
    if (request === undefined) return;
    if (this.core.state === "closed") request.close(into.forDefault ? undefined : filledView(into));
    else request.chunk(filledView(into));
  }
  get byobRequest() {
    const first = this.pullIntos[0];
    if (this.request === null && first !== undefined) {
      this.request = new ReadableStreamBYOBRequest(readable.secret, this, remaining(first));
    }
    return this.request;
  }
  respond(written) {
    const first = this.pullIntos[0];
    if (this.core.state === "closed") {
      if (written !== 0) throw new TypeError("respond: the stream is closed, the count must be 0");
      this.#dropRequest();
      const intos = this.pullIntos.splice(0);
      if (this.core.reader?.byob) for (const into of intos) this.#commit(into);
      return;
    }
    if (written === 0) throw new TypeError("respond: the count must not be 0");
    if (first.filled + written > first.length) throw new RangeError("respond: the count is too large");
    this.#dropRequest();
    first.filled += written;
    if (first.orphan) {
      this.#takeOrphan();
      if (this.core.reader?.byob) this.#fillPending();
    } else if (first.filled >= first.minimum) {
      this.pullIntos.shift();
      const over = first.filled % first.size;
      if (over > 0) {
        const end = first.offset + first.filled;
        const bytes = new Uint8Array(first.buffer.slice(end - over, end));
        this.queue.push(bytes, over);
        first.filled -= over;
      }
      this.#commit(first);
      this.#fillPending();
    }
    this.pullIfNeeded();
  }
  respondWithNewView(view) {
    const first = this.pullIntos[0];
    if (this.core.state === "readable" && view.byteLength === 0) throw new TypeError("respondWithNewView: the view must not be empty");
    if (first.offset + first.filled !== view.byteOffset) throw new RangeError("respondWithNewView: the view starts elsewhere");
    if (first.filled + view.byteLength > first.length) throw new RangeError("respondWithNewView: the view is too long");
    first.buffer = view.buffer;
    this.respond(view.byteLength);
  }
}
readable.ByteController = ByteController;

class ReadableStreamBYOBRequest {
  #controller;
  #view;
  static {
    invalidate = (request) => {
      request.#controller = undefined;
      request.#view = null;
    };
  }
  constructor(key, controller, view) {
    if (key !== readable.secret) shared.illegal();
    this.#controller = controller;
    this.#view = view;
  }
  get view() {
    return this.#view;
  }
  respond(bytesWritten) {
    shared.atLeast(arguments.length, 1, "ReadableStreamBYOBRequest.respond");
    if (this.#controller === undefined) throw new TypeError("This BYOB request has been invalidated");
    this.#controller.respond(Number(bytesWritten));
  }
  respondWithNewView(view) {
    if (!ArrayBuffer.isView(view)) throw new TypeError("respondWithNewView: not a view");
    if (this.#controller === undefined) throw new TypeError("This BYOB request has been invalidated");
    this.#controller.respondWithNewView(view);
  }
}

class ReadableByteStreamController {
  #inner;
  constructor(key, inner) {
    if (key !== readable.secret) shared.illegal();
    this.#inner = inner;
    inner.facade = this;
  }
  get byobRequest() {
    return this.#inner.byobRequest;
  }
  get desiredSize() {
    return this.#inner.desiredSize;
  }
  close() {
    if (!this.#inner.canEnqueue) throw new TypeError("The stream cannot be closed");
    this.#inner.close();
  }
  enqueue(chunk) {
    if (!ArrayBuffer.isView(chunk)) throw new TypeError("enqueue: not an ArrayBufferView");
    if (chunk.byteLength === 0) throw new TypeError("enqueue: the chunk is empty");
    if (!this.#inner.canEnqueue) throw new TypeError("The stream does not take chunks any more");
    this.#inner.enqueue(chunk);
  }
  error(error = undefined) {
    this.#inner.fail(error);
  }
}

readable.createByteController = (core, highWaterMark, pull, cancel, autoAllocate) => {
  const inner = new ByteController(core, highWaterMark, pull, cancel);
  if (autoAllocate !== undefined) {
    inner.autoAllocate = Number(autoAllocate);
    if (!(inner.autoAllocate > 0)) throw new TypeError("autoAllocateChunkSize must be positive");
  }
  core.controller = inner;
  return new ReadableByteStreamController(readable.secret, inner);
};

class ReadableStreamBYOBReader extends readable.ReaderBase {
  constructor(stream) {
    super(stream, true);
  }
  async read(view, options = {}) {
    const reader = readable.readerOf(this);
    if (!ArrayBuffer.isView(view)) throw new TypeError("ReadableStreamBYOBReader.read: not an ArrayBufferView");
    if (view.byteLength === 0) throw new TypeError("ReadableStreamBYOBReader.read: the view is empty");
    const minimum = options?.min === undefined ? 1 : Number(options.min);
    if (!(minimum > 0)) throw new TypeError("ReadableStreamBYOBReader.read: min must be positive");
    if (minimum > (view.length ?? view.byteLength)) throw new RangeError("ReadableStreamBYOBReader.read: min is too large");
    const { core } = reader;
    if (core === undefined) throw new TypeError("The reader was released");
    core.disturbed = true;
    if (core.state === "errored") throw core.storedError;
    const { promise, resolve, reject } = deferred();
    core.controller.pullInto(view, minimum, {
      chunk: (value) => resolve({ value, done: false }),
      close: (value) => resolve({ value, done: true }),
      error: reject,
    });
    return promise;
  }
}

shared.expose("ReadableStreamBYOBRequest", ReadableStreamBYOBRequest);
shared.expose("ReadableByteStreamController", ReadableByteStreamController);
shared.expose("ReadableStreamBYOBReader", ReadableStreamBYOBReader);
