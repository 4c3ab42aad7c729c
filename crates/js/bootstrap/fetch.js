// fetch: requests go out through the host, bodies come and go in chunks.

const { shared } = native;

/** An operation of the host as a promise, which `signal` ends early. */
shared.operation = function operation(signal, name, ...args) {
  return new Promise((resolve, reject) => {
    const op = native.startOp(name, resolve, reject, ...args);
    if (!signal) return;
    shared.onAbort(signal, () => {
      native.cancelOp(op);
      reject(signal.reason);
    });
  });
};
const { operation } = shared;

/** The stream of a body that the host holds. */
shared.hostStream = (id, signal) => {
  const stream = new ReadableStream({
    type: "bytes",
    async pull(controller) {
      const chunk = await operation(signal, "streamRead", id);
      if (chunk === null) {
        controller.close();
        controller.byobRequest?.respond(0);
      } else {
        controller.enqueue(chunk);
      }
    },
    cancel() {
      return operation(undefined, "streamCancel", id);
    },
  });
  return stream;
};

/** Sends a stream to the host, chunk by chunk. */
async function upload(stream, id, signal) {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      await operation(signal, "streamWrite", id, shared.view(value, "body"));
    }
    await operation(signal, "streamClose", id);
  } catch (error) {
    await operation(undefined, "streamAbort", id);
    reader.cancel(error).catch(() => {});
  }
}

shared.global("fetch", async function fetch(input, init = undefined) {
  shared.onlyInActions("fetch()");
  const request = new Request(input, init);
  const { signal } = request;
  signal.throwIfAborted();
  const scheme = new URL(request.url).protocol.slice(0, -1);
  if (scheme !== "http" && scheme !== "https") {
    throw new Error(`Unsupported URL scheme -- http and https are supported (scheme was ${scheme})`);
  }
  const { body, redirect } = shared.requestParts(request);
  if (shared.isUnusable(body)) throw new TypeError("Request: the body was used");
  let bytes = null;
  let streamId = null;
  if (body !== null) {
    body.used = true;
    if (body.stream === null) {
      bytes = body.bytes;
    } else {
      streamId = await operation(signal, "streamOpen");
      upload(body.stream, streamId, signal);
    }
  }
  const headers = [...request.headers].map(([name, value]) => [name, value]);
  const head = await operation(signal, "fetch", request.method, request.url, headers, redirect, bytes, streamId);
  const [status, statusText, url, redirected, pairs, responseId] = head;
  return shared.makeResponse({
    status,
    statusText,
    headers: shared.freezeHeaders(new Headers(pairs)),
    body: responseId === null ? null : { bytes: null, stream: shared.hostStream(responseId, signal), used: false, type: null },
    type: "basic",
    url,
    redirected,
  });
});
