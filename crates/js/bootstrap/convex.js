// The three functions the bundled `convex/server` calls.

const { shared } = native;

/** Calls from script to script; names are a frozen wire format of the library. */
const calls = {
  __proto__: null,
  requestFromConvexJson: (args) => shared.requestFromConvexJson(args),
  convexJsonFromResponse: (args) => shared.convexJsonFromResponse(args),
  "storage/storeBlob": async () => {
    shared.onlyInActions("storage.store()");
    throw shared.notBuilt("storage.store() in actions");
  },
  "storage/getBlob": async () => {
    shared.onlyInActions("storage.get()");
    throw shared.notBuilt("storage.get() in actions");
  },
};

shared.global("Convex", {
  syscall: native.syscall,
  asyncSyscall: native.asyncSyscall,
  jsSyscall(name, args) {
    const call = calls[name];
    if (call === undefined) throw new Error(`Unknown operation ${name}`);
    return call(args);
  },
});
