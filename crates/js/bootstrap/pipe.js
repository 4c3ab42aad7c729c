// Piping, teeing and reading streams to the end.

const { shared } = native;
const { readable, writable, deferred, markHandled } = shared;

shared.pipeSignal = (options) => {
  const signal = options?.signal;
  if (signal !== undefined && !shared.isAbortSignal(signal)) throw new TypeError("signal is not an AbortSignal");
  return signal;
};

/** Copies a readable core into a writable core, by the order of events the standard asks for. */
shared.pipe = (source, target, { preventClose, preventAbort, preventCancel }, signal) => {
  const reader = readable.acquire(source);
  const writer = writable.acquire(target);
  source.disturbed = true;
  const { promise, resolve, reject } = deferred();
  let shuttingDown = false;
  let lastWrite = Promise.resolve();

  const finish = (failed, error) => {
    writable.release(writer);
    readable.release(reader);
    signal?.removeEventListener("abort", onAbort);
    if (failed) reject(error);
    else resolve(undefined);
  };
  // Everything already read is written before an orderly end.
  const writesDone = async () => {
    let seen;
    do {
      seen = lastWrite;
      await seen.catch(() => {});
    } while (seen !== lastWrite);
  };
  const shutDown = async (action, failed, error) => {
    if (shuttingDown) return;
    shuttingDown = true;
    if (target.state === "writable" && !target.isClosing) await writesDone();
    try {
      await action?.();
    } catch (failure) {
      finish(true, failure);
      return;
    }
    // The last writes may have failed after the source was at its end.
    const broken = !failed && (target.state === "erroring" || target.state === "errored");
    finish(failed || broken, broken ? target.storedError : error);
  };
  const onAbort = () => {
    const { reason } = signal;
    const actions = [];
    if (!preventAbort) actions.push(() => (target.state === "writable" ? target.abort(reason) : undefined));
    if (!preventCancel) actions.push(() => (source.state === "readable" ? readable.cancel(source, reason) : undefined));
    shutDown(() => Promise.all(actions.map((action) => action())), true, reason);
  };
  if (signal !== undefined) {
    if (signal.aborted) {
      onAbort();
      return promise;
    }
    signal.addEventListener("abort", onAbort);
  }

  const sourceFailed = (error) => shutDown(preventAbort ? undefined : () => target.abort(error), true, error);
  const targetFailed = (error) => shutDown(preventCancel ? undefined : () => readable.cancel(source, error), true, error);
  const sourceClosed = () => shutDown(preventClose ? undefined : () => writable.closePropagating(writer), false);
  if (source.state === "errored") sourceFailed(source.storedError);
  else reader.closed.promise.then(undefined, sourceFailed);
  if (target.state === "errored") targetFailed(target.storedError);
  else writer.closed.promise.then(undefined, targetFailed);
  if (source.state === "closed") sourceClosed();
  else reader.closed.promise.then(sourceClosed, () => {});
  if (target.isClosing || target.state === "closed") {
    const error = new TypeError("The destination is closed");
    shutDown(preventCancel ? undefined : () => readable.cancel(source, error), true, error);
  }

  const step = () => {
    if (shuttingDown) return Promise.resolve(true);
    return writer.ready.promise.then(
      () =>
        new Promise((yes, no) => {
          if (shuttingDown) {
            yes(true);
            return;
          }
          readable.read(source, {
            chunk: (chunk) => {
              lastWrite = target.write(writer, chunk);
              markHandled(lastWrite);
              yes(false);
            },
            close: () => yes(true),
            error: no,
          });
        }),
    );
  };
  const loop = async () => {
    while (!(await step()));
  };
  // Failures reach the pipe through the closed promises of both ends.
  markHandled(loop());
  return promise;
};

/** Two streams with the chunks of one. With `copy`, the second gets copies of byte chunks (for cloned bodies). */
shared.tee = (core, copy) => {
  const reader = readable.acquire(core);
  const cancelled = deferred();
  const reasons = [undefined, undefined];
  const gone = [false, false];
  const branches = [];
  let reading = false;
  let again = false;
  const alive = (act) => branches.forEach((branch, at) => gone[at] || act(branch.controller, at));
  const pull = () => {
    if (reading) {
      again = true;
      return;
    }
    reading = true;
    readable.read(core, {
      chunk: (chunk) => {
        // A microtask later, so that a cancel made on the same turn still counts.
        Promise.resolve().then(() => {
          again = false;
          alive((controller, at) => controller.enqueue(at === 1 && copy && chunk instanceof Uint8Array ? chunk.slice() : chunk));
          reading = false;
          if (again) pull();
        });
      },
      close: () => {
        reading = false;
        alive((controller) => controller.close());
        if (!gone[0] || !gone[1]) cancelled.resolve(undefined);
      },
      error: () => {
        reading = false;
      },
    });
  };
  for (const at of [0, 1]) {
    branches.push(
      readable.create({
        pull,
        cancel: (reason) => {
          gone[at] = true;
          reasons[at] = reason;
          if (gone[1 - at]) cancelled.resolve(readable.cancel(core, reasons));
          return cancelled.promise;
        },
      }),
    );
  }
  reader.closed.promise.catch((error) => {
    for (const branch of branches) branch.controller.fail(error);
    if (!gone[0] || !gone[1]) cancelled.resolve(undefined);
  });
  return branches.map((branch) => branch.stream);
};

/** All bytes of a stream of Uint8Arrays. */
shared.readAll = async (stream) => {
  const reader = readable.acquire(readable.coreOf(stream));
  const chunks = [];
  for (;;) {
    const { value, done } = await readable.readPromise(reader);
    if (done) return shared.concat(chunks);
    if (!(value instanceof Uint8Array)) {
      const error = new TypeError("A chunk of the body is not a Uint8Array");
      markHandled(readable.cancel(reader.core, error));
      throw error;
    }
    chunks.push(value);
  }
};
