// crypto: randomness by the rules of the phase; subtle with digests and HMAC. Every other algorithm names itself in its error.

const { shared } = native;
const secret = Symbol("internal");

function randomBytes(count) {
  switch (native.phase()) {
    case "action":
    case "httpAction":
    case "actionImport":
      return native.randomBytes(count);
    case "query":
    case "mutation":
      return shared.onlyInActions("cryptographic randomness");
    default:
      throw new Error("Cannot use cryptographic randomness at import time");
  }
}

let keyState;

class CryptoKey {
  #type;
  #extractable;
  #algorithm;
  #usages;
  #data;
  static {
    keyState = (key) => {
      if (typeof key !== "object" || key === null || !(#data in key)) throw new TypeError("not a CryptoKey");
      return { data: key.#data, usages: key.#usages, algorithm: key.#algorithm, extractable: key.#extractable };
    };
  }
  constructor(key, init) {
    if (key !== secret) shared.illegal();
    this.#type = init.type;
    this.#extractable = init.extractable;
    this.#algorithm = init.algorithm;
    this.#usages = init.usages;
    this.#data = init.data;
  }
  get type() {
    return this.#type;
  }
  get extractable() {
    return this.#extractable;
  }
  get algorithm() {
    return this.#algorithm;
  }
  get usages() {
    return this.#usages;
  }
}

const HASHES = { __proto__: null, "SHA-1": 512, "SHA-256": 512, "SHA-384": 1024, "SHA-512": 1024 };
/** Names of the standard; those without entry in `table` below are not built. */
const KNOWN = [
  "AES-CBC", "AES-CTR", "AES-GCM", "AES-KW", "ECDH", "ECDSA", "Ed25519", "HKDF", "HMAC", "PBKDF2", "RSA-OAEP", "RSA-PSS",
  "RSASSA-PKCS1-v1_5", "SHA-1", "SHA-256", "SHA-384", "SHA-512", "X25519",
];
const USAGES = ["encrypt", "decrypt", "sign", "verify", "deriveKey", "deriveBits", "wrapKey", "unwrapKey"];

const dom = (name, message) => new DOMException(message, name);

/** `{ name, … }` with the name in its canonical spelling. */
function normalize(algorithm) {
  const given = typeof algorithm === "object" && algorithm !== null ? algorithm : { name: algorithm };
  if (given.name === undefined) throw new TypeError("Algorithm: name is required");
  const text = `${given.name}`;
  const name = KNOWN.find((known) => known.toUpperCase() === text.toUpperCase());
  if (name === undefined) throw dom("NotSupportedError", `Unrecognized or invalid algorithm ${text}`);
  return { ...given, name };
}

function normalizeHash(hash) {
  const { name } = normalize(hash);
  if (!(name in HASHES)) throw dom("NotSupportedError", `Unrecognized or invalid algorithm ${name}`);
  return name;
}

function checkedUsages(usages, allowed) {
  const list = Array.from(usages, (usage) => `${usage}`);
  for (const usage of list) if (!USAGES.includes(usage)) throw new TypeError(`Unknown key usage '${usage}'`);
  if (list.some((usage) => !allowed.includes(usage))) throw dom("SyntaxError", "Cannot create a key using the specified key usages");
  if (list.length === 0) throw dom("SyntaxError", "Usages cannot be empty when creating a key");
  return USAGES.filter((usage) => list.includes(usage));
}

function usableKey(key, name, usage) {
  const state = keyState(key);
  if (state.algorithm.name !== name) throw dom("InvalidAccessError", "The key's algorithm does not match the operation");
  if (usage !== undefined && !state.usages.includes(usage)) throw dom("InvalidAccessError", `The key does not permit '${usage}'`);
  return state;
}

const toBase64Url = (bytes) => native.call("base64.encode", bytes).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

function fromBase64Url(text) {
  const isUrlSafe = typeof text === "string" && /^[A-Za-z0-9_-]*$/.test(text);
  const bytes = isUrlSafe ? native.call("base64.decode", text.replace(/-/g, "+").replace(/_/g, "/")) : null;
  if (bytes === null) throw dom("DataError", "The JWK's key is not base64url");
  return bytes;
}

const hmacJwkName = (hash) => `HS${hash.slice(4)}`;

/** The key bytes of an HMAC JWK, after the checks of the standard. */
function hmacFromJwk(jwk, hash, extractable, usages) {
  if (typeof jwk !== "object" || jwk === null) throw new TypeError("The JWK is not an object");
  if (jwk.kty !== "oct") throw dom("DataError", "The JWK's kty must be 'oct'");
  const bytes = fromBase64Url(jwk.k);
  if (jwk.alg !== undefined && jwk.alg !== hmacJwkName(hash)) throw dom("DataError", `The JWK's alg must be '${hmacJwkName(hash)}'`);
  if (jwk.use !== undefined && jwk.use !== "sig") throw dom("DataError", "The JWK's use must be 'sig'");
  if (jwk.key_ops !== undefined && usages.some((usage) => !jwk.key_ops.includes(usage))) {
    throw dom("DataError", "The JWK's key_ops lack a requested usage");
  }
  if (jwk.ext === false && extractable) throw dom("DataError", "The JWK is not extractable");
  return bytes;
}

function hmacKey(bytes, hash, extractable, usages, length = bytes.length * 8) {
  if (bytes.length === 0) throw dom("DataError", "The key is empty");
  if (length > bytes.length * 8 || length <= bytes.length * 8 - 8) throw dom("DataError", "The key's length does not fit its data");
  return new CryptoKey(secret, { type: "secret", extractable, algorithm: { name: "HMAC", hash: { name: hash }, length }, usages, data: bytes });
}

/** operation → algorithm name → implementation. */
const table = {
  __proto__: null,
  digest: { __proto__: null },
  sign: { __proto__: null, HMAC: ({ name }, key, data) => hmacSign(usableKey(key, name, "sign"), data) },
  verify: {
    __proto__: null,
    HMAC({ name }, key, signature, data) {
      const state = usableKey(key, name, "verify");
      return native.call("crypto.hmacVerify", state.algorithm.hash.name, state.data, data, signature);
    },
  },
  importKey: {
    __proto__: null,
    HMAC(algorithm, format, keyData, extractable, usages) {
      const allowed = checkedUsages(usages, ["sign", "verify"]);
      const hash = normalizeHash(algorithm.hash);
      let bytes;
      if (format === "raw") bytes = shared.view(keyData, "importKey").slice();
      else if (format === "jwk") bytes = hmacFromJwk(keyData, hash, extractable, allowed);
      else throw dom("NotSupportedError", `Unsupported key format '${format}'`);
      return hmacKey(bytes, hash, Boolean(extractable), allowed, algorithm.length);
    },
  },
  exportKey: {
    __proto__: null,
    HMAC({ data, algorithm, usages, extractable }, format) {
      if (format === "raw") return shared.bufferOf(data);
      if (format !== "jwk") throw dom("NotSupportedError", `Unsupported key format '${format}'`);
      return { kty: "oct", k: toBase64Url(data), alg: hmacJwkName(algorithm.hash.name), key_ops: [...usages], ext: extractable };
    },
  },
  generateKey: {
    __proto__: null,
    HMAC(algorithm, extractable, usages) {
      const allowed = checkedUsages(usages, ["sign", "verify"]);
      const hash = normalizeHash(algorithm.hash);
      const bits = algorithm.length === undefined ? HASHES[hash] : Number(algorithm.length);
      if (!(bits > 0)) throw dom("OperationError", "The key length must be positive");
      return hmacKey(randomBytes(Math.ceil(bits / 8)), hash, Boolean(extractable), allowed, bits);
    },
  },
  encrypt: { __proto__: null },
  decrypt: { __proto__: null },
  deriveBits: { __proto__: null },
  deriveKey: { __proto__: null },
};
for (const name of Object.keys(HASHES)) {
  table.digest[name] = (algorithm, data) => native.call("crypto.digest", name, data).buffer;
}

const hmacSign = ({ algorithm, data: key }, data) => native.call("crypto.hmacSign", algorithm.hash.name, key, data).buffer;

function implementation(operation, name) {
  const found = table[operation][name];
  if (found !== undefined) return found;
  if (name === "AES-KW") shared.notImplemented(`crypto.subtle.${operation}`, name);
  if (name in HASHES || operation === "digest") throw dom("NotSupportedError", `Unrecognized or invalid algorithm ${name}`);
  throw shared.notBuilt(`crypto.subtle.${operation} for ${name}`);
}

/** The bytes at the time of the call, as the standard copies them. */
const copied = (data) => shared.view(data, "SubtleCrypto").slice();

class SubtleCrypto {
  constructor(key) {
    if (key !== secret) shared.illegal();
  }
  async digest(algorithm, data) {
    shared.atLeast(arguments.length, 2, "SubtleCrypto.digest");
    const normal = normalize(algorithm);
    return implementation("digest", normal.name)(normal, shared.view(data, "SubtleCrypto.digest"));
  }
  async sign(algorithm, key, data) {
    shared.atLeast(arguments.length, 3, "SubtleCrypto.sign");
    const normal = normalize(algorithm);
    return implementation("sign", normal.name)(normal, key, copied(data));
  }
  async verify(algorithm, key, signature, data) {
    shared.atLeast(arguments.length, 4, "SubtleCrypto.verify");
    const normal = normalize(algorithm);
    return implementation("verify", normal.name)(normal, key, copied(signature), copied(data));
  }
  async encrypt(algorithm, key, data) {
    shared.atLeast(arguments.length, 3, "SubtleCrypto.encrypt");
    const normal = normalize(algorithm);
    return implementation("encrypt", normal.name)(normal, key, copied(data));
  }
  async decrypt(algorithm, key, data) {
    shared.atLeast(arguments.length, 3, "SubtleCrypto.decrypt");
    const normal = normalize(algorithm);
    return implementation("decrypt", normal.name)(normal, key, copied(data));
  }
  async importKey(format, keyData, algorithm, extractable, usages) {
    shared.atLeast(arguments.length, 5, "SubtleCrypto.importKey");
    const normal = normalize(algorithm);
    return implementation("importKey", normal.name)(normal, `${format}`, keyData, extractable, usages);
  }
  async exportKey(format, key) {
    shared.atLeast(arguments.length, 2, "SubtleCrypto.exportKey");
    const state = keyState(key);
    const run = implementation("exportKey", state.algorithm.name);
    if (!state.extractable) throw dom("InvalidAccessError", "The key is not extractable");
    return run(state, `${format}`);
  }
  async generateKey(algorithm, extractable, usages) {
    shared.atLeast(arguments.length, 3, "SubtleCrypto.generateKey");
    const normal = normalize(algorithm);
    return implementation("generateKey", normal.name)(normal, extractable, usages);
  }
  async deriveBits(algorithm, key, length) {
    shared.atLeast(arguments.length, 2, "SubtleCrypto.deriveBits");
    const normal = normalize(algorithm);
    return implementation("deriveBits", normal.name)(normal, key, length);
  }
  async deriveKey(algorithm, key, derived, extractable, usages) {
    shared.atLeast(arguments.length, 5, "SubtleCrypto.deriveKey");
    const normal = normalize(algorithm);
    return implementation("deriveKey", normal.name)(normal, key, derived, extractable, usages);
  }
  wrapKey() {
    return shared.notImplemented("wrapKey", "SubtleCrypto");
  }
  unwrapKey() {
    return shared.notImplemented("unwrapKey", "SubtleCrypto");
  }
}

const subtle = new SubtleCrypto(secret);
const typedArrayTag = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag).get;

class Crypto {
  constructor(key) {
    if (key !== secret) shared.illegal();
  }
  get subtle() {
    return subtle;
  }
  getRandomValues(array) {
    shared.atLeast(arguments.length, 1, "Crypto.getRandomValues");
    const type = ArrayBuffer.isView(array) ? typedArrayTag.call(array) : undefined;
    if (type === undefined || type.startsWith("Float")) throw dom("TypeMismatchError", "getRandomValues: not an integer array");
    if (array.byteLength > 65536) throw dom("QuotaExceededError", "getRandomValues: more than 65536 bytes requested");
    shared.view(array).set(randomBytes(array.byteLength));
    return array;
  }
  randomUUID() {
    const bytes = randomBytes(16);
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
  }
}

shared.expose("CryptoKey", CryptoKey);
shared.expose("SubtleCrypto", SubtleCrypto);
shared.expose("Crypto", Crypto);
shared.global("crypto", new Crypto(secret));
