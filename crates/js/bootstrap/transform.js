// TransformStream and the two text streams built on it.

const { shared } = native;
const { readable, writable, deferred, promiseCall } = shared;
const secret = Symbol("internal");

class TransformStream {
  #readable;
  #writable;
  constructor(transformer = undefined, writableStrategy = {}, readableStrategy = {}) {
    if (transformer === null) throw new TypeError("TransformStream: the transformer is null");
    const start = shared.method(transformer, "start");
    const transform = shared.method(transformer, "transform");
    const flush = shared.method(transformer, "flush");
    const cancel = shared.method(transformer, "cancel");
    if (transformer?.readableType !== undefined) throw new RangeError("TransformStream: readableType must be undefined");
    if (transformer?.writableType !== undefined) throw new RangeError("TransformStream: writableType must be undefined");
    const machine = new Machine({ transform, flush, cancel }, writableStrategy, readableStrategy);
    this.#readable = machine.output.stream;
    this.#writable = machine.input.stream;
    machine.begin(start);
  }
  get readable() {
    return this.#readable;
  }
  get writable() {
    return this.#writable;
  }
}

/** Joins the writable side to the readable side; writing waits while the readable side is full. */
class Machine {
  #backpressure = true;
  #changed = deferred();
  #started = deferred();
  /** The one cancel, abort or flush that may run. */
  #finish = undefined;
  constructor(transformer, writableStrategy, readableStrategy) {
    this.transformer = transformer;
    this.facade = new TransformStreamDefaultController(secret, this);
    this.output = readable.create({
      start: this.#started.promise,
      pull: () => {
        this.#setBackpressure(false);
        return this.#changed.promise;
      },
      cancel: (reason) => this.#cancel(reason),
      size: shared.sizeOf(readableStrategy),
      highWaterMark: shared.highWaterMark(readableStrategy, 0),
    });
    this.input = writable.create({
      start: this.#started.promise,
      write: (chunk) => this.#write(chunk),
      close: () => this.#close(),
      abort: (reason) => this.#abort(reason),
      size: shared.sizeOf(writableStrategy),
      highWaterMark: shared.highWaterMark(writableStrategy, 1),
    });
  }
  begin(start) {
    this.#started.resolve(start?.(this.facade));
  }
  #setBackpressure(backpressure) {
    if (backpressure === this.#backpressure) return;
    this.#changed.resolve(undefined);
    this.#changed = deferred();
    this.#backpressure = backpressure;
  }
  #clear() {
    this.transformer = {};
  }
  enqueue(chunk) {
    const { controller, core } = this.output;
    if (!controller.canEnqueue) throw new TypeError("The readable side does not take chunks any more");
    try {
      controller.enqueue(chunk);
    } catch (error) {
      this.#errorWritable(error);
      throw core.storedError;
    }
    const full = !(core.reader?.requests.length > 0) && !(controller.desiredSize > 0);
    if (full) this.#setBackpressure(true);
  }
  error(error) {
    this.output.controller.fail(error);
    this.#errorWritable(error);
  }
  #errorWritable(error) {
    this.#clear();
    this.input.core.errorIfNeeded(error);
    if (this.#backpressure) this.#setBackpressure(false);
  }
  terminate() {
    if (this.output.controller.canEnqueue) this.output.controller.close();
    this.#errorWritable(new TypeError("The stream was terminated"));
  }
  async #write(chunk) {
    if (this.#backpressure) {
      await this.#changed.promise;
      if (this.input.core.state === "erroring") throw this.input.core.storedError;
    }
    try {
      const { transform } = this.transformer;
      if (transform !== undefined) await transform(chunk, this.facade);
      else this.enqueue(chunk);
    } catch (error) {
      this.error(error);
      throw error;
    }
  }
  #close() {
    if (this.#finish !== undefined) return this.#finish;
    const lever = deferred();
    this.#finish = lever.promise;
    const { core, controller } = this.output;
    const flushed = promiseCall(this.transformer.flush, this.facade);
    this.#clear();
    flushed.then(
      () => {
        if (core.state === "errored") {
          lever.reject(core.storedError);
          return;
        }
        if (controller.canEnqueue) controller.close();
        lever.resolve(undefined);
      },
      (error) => {
        controller.fail(error);
        lever.reject(error);
      },
    );
    return this.#finish;
  }
  #abort(reason) {
    if (this.#finish !== undefined) return this.#finish;
    const lever = deferred();
    this.#finish = lever.promise;
    const { core, controller } = this.output;
    const cancelled = promiseCall(this.transformer.cancel, reason);
    this.#clear();
    cancelled.then(
      () => {
        if (core.state === "errored") {
          lever.reject(core.storedError);
          return;
        }
        controller.fail(reason);
        lever.resolve(undefined);
      },
      (error) => {
        controller.fail(error);
        lever.reject(error);
      },
    );
    return this.#finish;
  }
  #cancel(reason) {
    if (this.#finish !== undefined) return this.#finish;
    const lever = deferred();
    this.#finish = lever.promise;
    const { core } = this.input;
    const cancelled = promiseCall(this.transformer.cancel, reason);
    this.#clear();
    const unblock = (error) => {
      core.errorIfNeeded(error);
      if (this.#backpressure) this.#setBackpressure(false);
    };
    cancelled.then(
      () => {
        if (core.state === "errored") {
          lever.reject(core.storedError);
          return;
        }
        unblock(reason);
        lever.resolve(undefined);
      },
      (error) => {
        unblock(error);
        lever.reject(error);
      },
    );
    return this.#finish;
  }
}

class TransformStreamDefaultController {
  #machine;
  constructor(key, machine) {
    if (key !== secret) shared.illegal();
    this.#machine = machine;
  }
  get desiredSize() {
    return this.#machine.output.controller.desiredSize;
  }
  enqueue(chunk = undefined) {
    this.#machine.enqueue(chunk);
  }
  error(reason = undefined) {
    this.#machine.error(reason);
  }
  terminate() {
    this.#machine.terminate();
  }
}

class TextEncoderStream {
  #stream;
  constructor() {
    const encoder = new TextEncoder();
    // A high surrogate at the end of a chunk waits for its other half.
    let high = "";
    this.#stream = new TransformStream({
      transform(chunk, controller) {
        let text = high + `${chunk}`;
        high = /[\ud800-\udbff]$/.test(text) ? text[text.length - 1] : "";
        if (high) text = text.slice(0, -1);
        if (text) controller.enqueue(encoder.encode(text));
      },
      flush(controller) {
        if (high) controller.enqueue(encoder.encode(high));
      },
    });
  }
  get encoding() {
    return "utf-8";
  }
  get readable() {
    return this.#stream.readable;
  }
  get writable() {
    return this.#stream.writable;
  }
}

class TextDecoderStream {
  #decoder;
  #stream;
  constructor(label = "utf-8", options = {}) {
    const decoder = (this.#decoder = new TextDecoder(label, options));
    this.#stream = new TransformStream({
      transform(chunk, controller) {
        const text = decoder.decode(chunk, { stream: true });
        if (text) controller.enqueue(text);
      },
      flush(controller) {
        const text = decoder.decode();
        if (text) controller.enqueue(text);
      },
    });
  }
  get encoding() {
    return this.#decoder.encoding;
  }
  get fatal() {
    return this.#decoder.fatal;
  }
  get ignoreBOM() {
    return this.#decoder.ignoreBOM;
  }
  get readable() {
    return this.#stream.readable;
  }
  get writable() {
    return this.#stream.writable;
  }
}

shared.expose("TransformStreamDefaultController", TransformStreamDefaultController);
shared.expose("TransformStream", TransformStream);
shared.expose("TextEncoderStream", TextEncoderStream);
shared.expose("TextDecoderStream", TextDecoderStream);
