// The three functions the bundled `convex/server` calls.

const { shared } = native;

/** Calls from script to script; names are a frozen wire format of the library. */
const calls = {
  __proto__: null,
  requestFromConvexJson: (args) => shared.requestFromConvexJson(args),
  convexJsonFromResponse: (args) => shared.convexJsonFromResponse(args),
  "storage/storeBlob": async ({ blob, options }) => {
    shared.onlyInActions("storage.store()");
    if (!shared.isBlob(blob)) throw new TypeError("storage.store() expects a Blob");
    const { sha256 = null } = options ?? {};
    return await shared.operation(undefined, "storeBlob", shared.blobBytes(blob), blob.type || null, sha256);
  },
  "storage/getBlob": async ({ storageId }) => {
    shared.onlyInActions("storage.get()");
    const found = await shared.operation(undefined, "getBlob", `${storageId}`);
    return found === null ? null : shared.blobFrom(found[0], found[1] ?? "");
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
