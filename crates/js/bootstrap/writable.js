// WritableStream and its writer. The `core` of a stream is its hidden state, named as in the standard.

const { shared } = native;
const { deferred, markHandled, Queue, promiseCall } = shared;
const secret = Symbol("internal");
const writable = (shared.writable = { __proto__: null });

/** A promise with levers that remembers whether it was settled. */
function lever() {
  const { promise, resolve, reject } = deferred();
  const made = {
    promise,
    settled: false,
    resolve: (value) => {
      made.settled = true;
      resolve(value);
    },
    reject: (error) => {
      made.settled = true;
      reject(error);
    },
  };
  return made;
}

/** Marks the end in a controller's queue. */
const CLOSE = Symbol("close");

const released = () => new TypeError("The writer was released");

class Core {
  state = "writable";
  storedError = undefined;
  writer = undefined;
  backpressure = false;
  writeRequests = [];
  inFlightWrite = undefined;
  closeRequest = undefined;
  inFlightClose = undefined;
  pendingAbort = undefined;
  started = false;
  queue = new Queue();
  size = () => 1;
  abortController = new AbortController();

  constructor(sink, highWaterMark) {
    this.sink = sink;
    this.highWaterMark = highWaterMark;
  }
  get desiredSize() {
    return this.highWaterMark - this.queue.total;
  }
  get isClosing() {
    return this.closeRequest !== undefined || this.inFlightClose !== undefined;
  }
  start(started) {
    this.#setBackpressure(this.desiredSize <= 0);
    Promise.resolve(started).then(
      () => {
        this.started = true;
        this.#advance();
      },
      (error) => {
        this.started = true;
        this.#dealWithRejection(error);
      },
    );
  }
  abort(reason) {
    if (this.state === "closed" || this.state === "errored") return Promise.resolve(undefined);
    this.abortController.abort(reason);
    // Listeners of the signal may have changed the state.
    if (this.state === "closed" || this.state === "errored") return Promise.resolve(undefined);
    if (this.pendingAbort !== undefined) return this.pendingAbort.promise;
    const wasErroring = this.state === "erroring";
    this.pendingAbort = { ...deferred(), reason: wasErroring ? undefined : reason, wasErroring };
    const { promise } = this.pendingAbort;
    if (!wasErroring) this.startErroring(reason);
    return promise;
  }
  close() {
    if (this.state === "closed" || this.state === "errored") return Promise.reject(new TypeError(`The stream is ${this.state}`));
    this.closeRequest = deferred();
    const { promise } = this.closeRequest;
    if (this.writer !== undefined && this.backpressure && this.state === "writable") this.writer.ready.resolve(undefined);
    this.queue.push(CLOSE, 0);
    this.#advance();
    return promise;
  }
  write(writer, chunk) {
    let size = 1;
    try {
      if (this.state === "writable" && !this.isClosing) size = this.size(chunk);
    } catch (error) {
      this.errorIfNeeded(error);
    }
    if (this.writer !== writer) return Promise.reject(released());
    if (this.state === "errored") return Promise.reject(this.storedError);
    if (this.isClosing || this.state === "closed") return Promise.reject(new TypeError("The stream is closing or closed"));
    if (this.state === "erroring") return Promise.reject(this.storedError);
    const request = deferred();
    this.writeRequests.push(request);
    try {
      this.queue.push(chunk, size);
    } catch (error) {
      this.errorIfNeeded(error);
      return request.promise;
    }
    if (!this.isClosing && this.state === "writable") this.#setBackpressure(this.desiredSize <= 0);
    this.#advance();
    return request.promise;
  }
  errorIfNeeded(error) {
    if (this.state === "writable") {
      this.#clearSink();
      this.startErroring(error);
    }
  }
  startErroring(reason) {
    this.state = "erroring";
    this.storedError = reason;
    if (this.writer !== undefined) rejectAnew(this.writer, "ready", reason);
    if (this.inFlightWrite === undefined && this.inFlightClose === undefined && this.started) this.#finishErroring();
  }
  #clearSink() {
    this.sink = { write: undefined, close: undefined, abort: undefined };
    this.size = () => 1;
  }
  #setBackpressure(backpressure) {
    if (this.writer !== undefined && backpressure !== this.backpressure) {
      if (backpressure) this.writer.ready = lever();
      else this.writer.ready.resolve(undefined);
    }
    this.backpressure = backpressure;
  }
  #advance() {
    if (!this.started || this.inFlightWrite !== undefined || this.state === "closed" || this.state === "errored") return;
    if (this.state === "erroring") {
      this.#finishErroring();
      return;
    }
    if (this.queue.length === 0) return;
    const chunk = this.queue.peek();
    if (chunk === CLOSE) this.#writeClose();
    else this.#writeChunk(chunk);
  }
  #writeClose() {
    this.inFlightClose = this.closeRequest;
    this.closeRequest = undefined;
    this.queue.shift();
    const closed = promiseCall(this.sink.close);
    this.#clearSink();
    closed.then(
      () => {
        this.inFlightClose.resolve(undefined);
        this.inFlightClose = undefined;
        if (this.state === "erroring") {
          this.storedError = undefined;
          this.pendingAbort?.resolve(undefined);
          this.pendingAbort = undefined;
        }
        this.state = "closed";
        this.writer?.closed.resolve(undefined);
      },
      (error) => {
        this.inFlightClose.reject(error);
        this.inFlightClose = undefined;
        this.pendingAbort?.reject(error);
        this.pendingAbort = undefined;
        this.#dealWithRejection(error);
      },
    );
  }
  #writeChunk(chunk) {
    this.inFlightWrite = this.writeRequests.shift();
    promiseCall(this.sink.write, chunk, this.facade).then(
      () => {
        this.inFlightWrite.resolve(undefined);
        this.inFlightWrite = undefined;
        this.queue.shift();
        if (!this.isClosing && this.state === "writable") this.#setBackpressure(this.desiredSize <= 0);
        this.#advance();
      },
      (error) => {
        if (this.state === "writable") this.#clearSink();
        this.inFlightWrite.reject(error);
        this.inFlightWrite = undefined;
        this.#dealWithRejection(error);
      },
    );
  }
  #dealWithRejection(error) {
    if (this.state === "writable") this.startErroring(error);
    else this.#finishErroring();
  }
  #finishErroring() {
    this.state = "errored";
    this.queue.clear();
    for (const request of this.writeRequests.splice(0)) request.reject(this.storedError);
    const abort = this.pendingAbort;
    this.pendingAbort = undefined;
    if (abort === undefined) {
      this.#rejectClosed();
    } else if (abort.wasErroring) {
      abort.reject(this.storedError);
      this.#rejectClosed();
    } else {
      const aborted = promiseCall(this.sink.abort, abort.reason);
      this.#clearSink();
      aborted.then(abort.resolve, abort.reject).then(() => this.#rejectClosed());
      abort.resolve = () => undefined;
    }
  }
  #rejectClosed() {
    if (this.closeRequest !== undefined) {
      this.closeRequest.reject(this.storedError);
      this.closeRequest = undefined;
    }
    if (this.writer !== undefined) {
      this.writer.closed.reject(this.storedError);
      markHandled(this.writer.closed.promise);
    }
  }
}

/** Rejects one of a writer's promises; one that is settled already makes place for a new one. */
function rejectAnew(writer, name, error) {
  if (writer[name].settled) writer[name] = lever();
  writer[name].reject(error);
  markHandled(writer[name].promise);
}

/** Locks a stream to a new writer core: { core, closed, ready }. */
writable.acquire = (core) => {
  if (core.writer !== undefined) throw new TypeError("This stream has already been locked for exclusive writing by another writer");
  const writer = { core, closed: lever(), ready: lever() };
  core.writer = writer;
  if (core.state === "writable") {
    if (core.isClosing || !core.backpressure) writer.ready.resolve(undefined);
  } else if (core.state === "closed") {
    writer.ready.resolve(undefined);
    writer.closed.resolve(undefined);
  } else {
    writer.ready.reject(core.storedError);
    markHandled(writer.ready.promise);
    if (core.state === "errored") {
      writer.closed.reject(core.storedError);
      markHandled(writer.closed.promise);
    }
  }
  return writer;
};

writable.release = (writer) => {
  const { core } = writer;
  if (core === undefined) return;
  const error = released();
  rejectAnew(writer, "ready", error);
  rejectAnew(writer, "closed", error);
  core.writer = undefined;
  writer.core = undefined;
};

writable.closePropagating = (writer) => {
  const { core } = writer;
  if (core.isClosing || core.state === "closed") return Promise.resolve(undefined);
  if (core.state === "errored") return Promise.reject(core.storedError);
  return core.close();
};

class WritableStreamDefaultController {
  #core;
  constructor(key, core) {
    if (key !== secret) shared.illegal();
    this.#core = core;
    core.facade = this;
  }
  get signal() {
    return this.#core.abortController.signal;
  }
  error(error = undefined) {
    this.#core.errorIfNeeded(error);
  }
}

/** Makes a stream from plain functions; returns { stream, core }. */
writable.create = ({ start, write, close, abort, highWaterMark = 1, size }) => {
  const core = new Core({ write, close, abort }, highWaterMark);
  if (size) core.size = size;
  new WritableStreamDefaultController(secret, core);
  const stream = new WritableStream(secret, core);
  core.start(start);
  return { stream, core };
};

class WritableStream {
  #core;
  static {
    writable.coreOf = (stream) => stream.#core;
    writable.is = (value) => typeof value === "object" && value !== null && #core in value;
  }
  constructor(sink = undefined, strategy = {}) {
    if (sink === secret) {
      this.#core = strategy;
      return;
    }
    if (sink === null || (sink !== undefined && typeof sink !== "object" && typeof sink !== "function")) {
      throw new TypeError("WritableStream: the sink is not an object");
    }
    if (sink?.type !== undefined) throw new RangeError("WritableStream: type must be undefined");
    const start = shared.method(sink, "start");
    const methods = {
      write: shared.method(sink, "write"),
      close: shared.method(sink, "close"),
      abort: shared.method(sink, "abort"),
    };
    const size = shared.sizeOf(strategy);
    const core = (this.#core = new Core(methods, shared.highWaterMark(strategy, 1)));
    core.size = size;
    const facade = new WritableStreamDefaultController(secret, core);
    core.start(start?.(facade));
  }
  get locked() {
    return this.#core.writer !== undefined;
  }
  async abort(reason = undefined) {
    if (this.locked) throw new TypeError("Cannot abort a locked stream");
    return this.#core.abort(reason);
  }
  async close() {
    if (this.locked) throw new TypeError("Cannot close a locked stream");
    if (this.#core.isClosing) throw new TypeError("The stream is already closing");
    return this.#core.close();
  }
  getWriter() {
    return new WritableStreamDefaultWriter(this);
  }
}

class WritableStreamDefaultWriter {
  #writer;
  constructor(stream) {
    if (!writable.is(stream)) throw new TypeError("WritableStreamDefaultWriter: not a WritableStream");
    this.#writer = writable.acquire(writable.coreOf(stream));
  }
  #core() {
    const { core } = this.#writer;
    if (core === undefined) throw released();
    return core;
  }
  get closed() {
    return this.#writer.closed.promise;
  }
  get ready() {
    return this.#writer.ready.promise;
  }
  get desiredSize() {
    const core = this.#core();
    if (core.state === "errored" || core.state === "erroring") return null;
    return core.state === "closed" ? 0 : core.desiredSize;
  }
  async abort(reason = undefined) {
    return this.#core().abort(reason);
  }
  async close() {
    const core = this.#core();
    if (core.isClosing) throw new TypeError("The stream is already closing");
    return core.close();
  }
  releaseLock() {
    writable.release(this.#writer);
  }
  async write(chunk = undefined) {
    return this.#core().write(this.#writer, chunk);
  }
}

shared.expose("WritableStreamDefaultController", WritableStreamDefaultController);
shared.expose("WritableStreamDefaultWriter", WritableStreamDefaultWriter);
shared.expose("WritableStream", WritableStream);
