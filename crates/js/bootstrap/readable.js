// ReadableStream with its default controller and readers. Byte streams are in bytes.js, piping and teeing in pipe.js.
//
// `core` of a stream is its hidden state: { state, reader, storedError, disturbed, controller }; `controller` offers
// pull(request), cancel(reason), release() to it. A read request is { chunk, close, error }.

const { shared } = native;
const { deferred, markHandled, Queue, promiseCall } = shared;
const secret = Symbol("internal");
const readable = (shared.readable = { __proto__: null, secret });

let coreOfStream, coreOfReader;

readable.close = (core) => {
  core.state = "closed";
  const reader = core.reader;
  if (reader === undefined) return;
  reader.closed.resolve(undefined);
  if (reader.byob) return;
  for (const request of reader.requests.splice(0)) request.close();
};

readable.error = (core, error) => {
  core.state = "errored";
  core.storedError = error;
  const reader = core.reader;
  if (reader === undefined) return;
  reader.closed.reject(error);
  markHandled(reader.closed.promise);
  for (const request of reader.requests.splice(0)) request.error(error);
};

readable.cancel = (core, reason) => {
  core.disturbed = true;
  if (core.state === "closed") return Promise.resolve(undefined);
  if (core.state === "errored") return Promise.reject(core.storedError);
  readable.close(core);
  if (core.reader?.byob) for (const request of core.reader.requests.splice(0)) request.close(undefined);
  return core.controller.cancel(reason).then(() => undefined);
};

readable.read = (core, request) => {
  core.disturbed = true;
  if (core.state === "closed") request.close();
  else if (core.state === "errored") request.error(core.storedError);
  else core.controller.pull(request);
};

/** Locks a stream to a new reader core: { core, closed, requests, byob }. */
readable.acquire = (core, byob = false) => {
  if (core.reader !== undefined) throw new TypeError("This stream has already been locked for exclusive reading by another reader");
  const reader = { core, closed: deferred(), requests: [], byob };
  core.reader = reader;
  if (core.state === "closed") reader.closed.resolve(undefined);
  if (core.state === "errored") {
    reader.closed.reject(core.storedError);
    markHandled(reader.closed.promise);
  }
  return reader;
};

readable.release = (reader) => {
  const { core } = reader;
  if (core === undefined) return;
  const error = new TypeError("The reader was released");
  if (core.state !== "readable") reader.closed = deferred();
  reader.closed.reject(error);
  markHandled(reader.closed.promise);
  core.controller.release();
  core.reader = undefined;
  reader.core = undefined;
  for (const request of reader.requests.splice(0)) request.error(error);
};

/** One read as a promise of `{ value, done }`. */
readable.readPromise = (reader) => {
  const { promise, resolve, reject } = deferred();
  readable.read(reader.core, {
    chunk: (value) => resolve({ value, done: false }),
    close: () => resolve({ value: undefined, done: true }),
    error: reject,
  });
  return promise;
};

/** The pulling that both kinds of controllers share: at most one pull at a time, one more if asked meanwhile. */
class Puller {
  started = false;
  closeRequested = false;
  #pulling = false;
  #again = false;
  constructor(core, highWaterMark, pull, cancel) {
    this.core = core;
    this.queue = new Queue();
    this.highWaterMark = highWaterMark;
    this.pullSource = pull;
    this.cancelSource = cancel;
  }
  get desiredSize() {
    if (this.core.state === "errored") return null;
    return this.core.state === "closed" ? 0 : this.highWaterMark - this.queue.total;
  }
  get canEnqueue() {
    return !this.closeRequested && this.core.state === "readable";
  }
  start(started, facade) {
    return Promise.resolve(started).then(
      () => {
        this.started = true;
        this.pullIfNeeded(facade);
      },
      (error) => this.fail(error),
    );
  }
  pullIfNeeded() {
    if (!this.canEnqueue || !this.started) return;
    if (!(this.core.reader?.requests.length > 0) && !(this.desiredSize > 0)) return;
    if (this.#pulling) {
      this.#again = true;
      return;
    }
    this.#pulling = true;
    promiseCall(this.pullSource, this.facade).then(
      () => {
        this.#pulling = false;
        if (!this.#again) return;
        this.#again = false;
        this.pullIfNeeded();
      },
      (error) => this.fail(error),
    );
  }
  clearSource() {
    this.pullSource = undefined;
    this.cancelSource = undefined;
  }
  fail(error) {
    if (this.core.state !== "readable") return;
    this.queue.clear();
    this.clearSource();
    readable.error(this.core, error);
  }
  cancelWith(reason) {
    this.queue.clear();
    const result = promiseCall(this.cancelSource, reason);
    this.clearSource();
    return result;
  }
  release() {}
}
readable.Puller = Puller;

class DefaultController extends Puller {
  size = () => 1;
  close() {
    this.closeRequested = true;
    if (this.queue.length === 0) this.#finish();
  }
  #finish() {
    this.clearSource();
    readable.close(this.core);
  }
  enqueue(chunk) {
    const requests = this.core.reader?.requests;
    if (requests?.length > 0) {
      requests.shift().chunk(chunk);
    } else {
      try {
        this.queue.push(chunk, this.size(chunk));
      } catch (error) {
        this.fail(error);
        throw error;
      }
    }
    this.pullIfNeeded();
  }
  cancel(reason) {
    return this.cancelWith(reason);
  }
  pull(request) {
    if (this.queue.length === 0) {
      this.core.reader.requests.push(request);
      this.pullIfNeeded();
      return;
    }
    const chunk = this.queue.shift();
    if (this.closeRequested && this.queue.length === 0) this.#finish();
    else this.pullIfNeeded();
    request.chunk(chunk);
  }
}

class ReadableStreamDefaultController {
  #inner;
  constructor(key, inner) {
    if (key !== secret) shared.illegal();
    this.#inner = inner;
    inner.facade = this;
  }
  get desiredSize() {
    return this.#inner.desiredSize;
  }
  close() {
    if (!this.#inner.canEnqueue) throw new TypeError("The stream cannot be closed");
    this.#inner.close();
  }
  enqueue(chunk = undefined) {
    if (!this.#inner.canEnqueue) throw new TypeError("The stream does not take chunks any more");
    this.#inner.enqueue(chunk);
  }
  error(error = undefined) {
    this.#inner.fail(error);
  }
}

const newCore = () => ({ state: "readable", reader: undefined, storedError: undefined, disturbed: false, controller: undefined });

/** Makes a stream from plain functions; returns { stream, core, controller }. */
readable.create = ({ start, pull, cancel, highWaterMark = 1, size }) => {
  const core = newCore();
  const controller = new DefaultController(core, highWaterMark, pull, cancel);
  if (size) controller.size = size;
  core.controller = controller;
  new ReadableStreamDefaultController(secret, controller);
  const stream = new ReadableStream(secret, core);
  controller.start(start);
  return { stream, core, controller };
};

class ReadableStream {
  #core;
  static {
    coreOfStream = (stream) => stream.#core;
    readable.coreOf = coreOfStream;
    readable.is = (value) => typeof value === "object" && value !== null && #core in value;
  }
  constructor(source = undefined, strategy = {}) {
    if (source === secret) {
      this.#core = strategy;
      return;
    }
    if (source === null || (source !== undefined && typeof source !== "object" && typeof source !== "function")) {
      throw new TypeError("ReadableStream: the source is not an object");
    }
    const core = (this.#core = newCore());
    const start = shared.method(source, "start");
    const pull = shared.method(source, "pull");
    const cancel = shared.method(source, "cancel");
    const type = source?.type;
    let facade;
    if (type !== undefined) {
      if (`${type}` !== "bytes") throw new TypeError(`ReadableStream: unknown type '${type}'`);
      if (strategy?.size !== undefined) throw new RangeError("ReadableStream: a byte stream has no size function");
      facade = readable.createByteController(core, shared.highWaterMark(strategy, 0), pull, cancel, source.autoAllocateChunkSize);
    } else {
      const size = shared.sizeOf(strategy);
      const controller = new DefaultController(core, shared.highWaterMark(strategy, 1), pull, cancel);
      controller.size = size;
      core.controller = controller;
      facade = new ReadableStreamDefaultController(secret, controller);
    }
    core.controller.start(start?.(facade));
  }
  static from(iterable) {
    const method = iterable?.[Symbol.asyncIterator] ?? iterable?.[Symbol.iterator];
    if (typeof method !== "function") throw new TypeError("ReadableStream.from: not iterable");
    const iterator = method.call(iterable);
    if (iterator === null || typeof iterator !== "object") throw new TypeError("ReadableStream.from: the iterator is not an object");
    const { stream, controller } = readable.create({
      highWaterMark: 0,
      async pull() {
        const result = await iterator.next();
        if (result === null || typeof result !== "object") throw new TypeError("ReadableStream.from: the result is not an object");
        const value = await result.value;
        if (result.done) controller.close();
        else controller.enqueue(value);
      },
      async cancel(reason) {
        if (iterator.return === undefined) return;
        const result = await iterator.return(reason);
        if (result === null || typeof result !== "object") throw new TypeError("ReadableStream.from: the result is not an object");
      },
    });
    return stream;
  }
  get locked() {
    return this.#core.reader !== undefined;
  }
  async cancel(reason = undefined) {
    if (this.locked) throw new TypeError("Cannot cancel a locked stream");
    return readable.cancel(this.#core, reason);
  }
  getReader(options = {}) {
    const mode = options?.mode;
    if (mode === undefined) return new ReadableStreamDefaultReader(this);
    if (`${mode}` !== "byob") throw new TypeError(`ReadableStream.getReader: unknown mode '${mode}'`);
    return new ReadableStreamBYOBReader(this);
  }
  pipeThrough(transform, options = {}) {
    const { readable: output, writable: input } = transform;
    if (!readable.is(output)) throw new TypeError("pipeThrough: readable is not a ReadableStream");
    if (!shared.writable.is(input)) throw new TypeError("pipeThrough: writable is not a WritableStream");
    const signal = shared.pipeSignal(options);
    if (this.locked) throw new TypeError("pipeThrough: the stream is locked");
    if (input.locked) throw new TypeError("pipeThrough: the destination is locked");
    markHandled(shared.pipe(this.#core, shared.writable.coreOf(input), options ?? {}, signal));
    return output;
  }
  async pipeTo(destination, options = {}) {
    if (!shared.writable.is(destination)) throw new TypeError("pipeTo: the destination is not a WritableStream");
    const signal = shared.pipeSignal(options);
    if (this.locked) throw new TypeError("pipeTo: the stream is locked");
    if (destination.locked) throw new TypeError("pipeTo: the destination is locked");
    return shared.pipe(this.#core, shared.writable.coreOf(destination), options ?? {}, signal);
  }
  tee() {
    return shared.tee(this.#core, false);
  }
  values(options = {}) {
    return readable.iterate(readable.acquire(this.#core), Boolean(options?.preventCancel));
  }
}
shared.hide(ReadableStream.prototype, Symbol.asyncIterator, ReadableStream.prototype.values);

const AsyncIteratorPrototype = Object.getPrototypeOf(Object.getPrototypeOf(async function* () {}).prototype);

/** The async iterator of a stream: requests run one after the other. */
readable.iterate = (reader, preventCancel) => {
  let ongoing = Promise.resolve();
  let finished = false;
  const queue = (step) => (ongoing = ongoing.then(step, step));
  return {
    __proto__: AsyncIteratorPrototype,
    next() {
      return queue(async () => {
        if (finished) return { value: undefined, done: true };
        try {
          const result = await readable.readPromise(reader);
          if (!result.done) return result;
        } catch (error) {
          finished = true;
          readable.release(reader);
          throw error;
        }
        finished = true;
        readable.release(reader);
        return { value: undefined, done: true };
      });
    },
    return(value) {
      return queue(async () => {
        if (finished) return { value, done: true };
        finished = true;
        const { core } = reader;
        const cancelled = preventCancel ? undefined : readable.cancel(core, value);
        readable.release(reader);
        await cancelled;
        return { value, done: true };
      });
    },
  };
};

/** What the default reader and the BYOB reader have in common. */
readable.ReaderBase = class {
  #reader;
  static {
    coreOfReader = (facade) => facade.#reader;
    readable.readerOf = coreOfReader;
  }
  constructor(stream, byob) {
    if (!readable.is(stream)) throw new TypeError("Reader: not a ReadableStream");
    const core = coreOfStream(stream);
    if (byob && !(core.controller instanceof readable.ByteController)) {
      throw new TypeError("ReadableStreamBYOBReader: not a byte stream");
    }
    this.#reader = readable.acquire(core, byob);
  }
  get closed() {
    try {
      return this.#reader.closed.promise;
    } catch (error) {
      return Promise.reject(error);
    }
  }
  async cancel(reason = undefined) {
    if (this.#reader.core === undefined) throw new TypeError("The reader was released");
    return readable.cancel(this.#reader.core, reason);
  }
  releaseLock() {
    readable.release(this.#reader);
  }
};

class ReadableStreamDefaultReader extends readable.ReaderBase {
  constructor(stream) {
    super(stream, false);
  }
  async read() {
    const reader = coreOfReader(this);
    if (reader.core === undefined) throw new TypeError("The reader was released");
    return readable.readPromise(reader);
  }
}

shared.expose("ReadableStreamDefaultController", ReadableStreamDefaultController);
shared.expose("ReadableStreamDefaultReader", ReadableStreamDefaultReader);
shared.expose("ReadableStream", ReadableStream);
