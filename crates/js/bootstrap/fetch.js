// fetch: the rules of who may; the transport itself is not built yet.

const { shared } = native;

shared.global("fetch", async function fetch(input, init = undefined) {
  shared.onlyInActions("fetch()");
  const request = new Request(input, init);
  request.signal.throwIfAborted();
  const scheme = new URL(request.url).protocol.slice(0, -1);
  if (scheme !== "http" && scheme !== "https") {
    throw new Error(`Unsupported URL scheme -- http and https are supported (scheme was ${scheme})`);
  }
  throw shared.notBuilt("fetch in actions");
});
