// crypto: randomness by the rules of the phase, and subtle on native operations. Key data lies in the isolate.

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
      return { type: key.#type, data: key.#data, usages: key.#usages, algorithm: key.#algorithm, extractable: key.#extractable };
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
/** Names of the standard. */
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

/** Randomness for a key, which queries and mutations do not have. */
const seed = () => randomBytes(32);

const hmacJwkName = (hash) => `HS${hash.slice(4)}`;

/** What all forms of JWK have in common. */
function checkJwk(jwk, { kty, alg, use, extractable, usages }) {
  if (typeof jwk !== "object" || jwk === null) throw new TypeError("The JWK is not an object");
  if (jwk.kty !== kty) throw dom("DataError", `The JWK's kty must be '${kty}'`);
  if (alg !== undefined && jwk.alg !== undefined && jwk.alg !== alg) throw dom("DataError", `The JWK's alg must be '${alg}'`);
  if (usages.length > 0 && jwk.use !== undefined && jwk.use !== use) throw dom("DataError", `The JWK's use must be '${use}'`);
  if (jwk.key_ops !== undefined && usages.some((usage) => !jwk.key_ops.includes(usage))) {
    throw dom("DataError", "The JWK's key_ops lack a requested usage");
  }
  if (jwk.ext === false && extractable) throw dom("DataError", "The JWK is not extractable");
}

const unsupportedFormat = (format) => dom("NotSupportedError", `Unsupported key format '${format}'`);

function makeKey(type, algorithm, extractable, usages, data) {
  return new CryptoKey(secret, { type, extractable: type === "public" || Boolean(extractable), algorithm, usages, data });
}

// ---- HMAC and AES: keys are bytes.

function secretBytes(format, keyData, jwkRules) {
  if (format === "raw") return shared.view(keyData, "importKey").slice();
  if (format !== "jwk") throw unsupportedFormat(format);
  checkJwk(keyData, { kty: "oct", ...jwkRules });
  return fromBase64Url(keyData.k);
}

function exportSecret({ data, usages, extractable }, format, alg) {
  if (format === "raw") return shared.bufferOf(data);
  if (format !== "jwk") throw unsupportedFormat(format);
  return { kty: "oct", k: toBase64Url(data), alg, key_ops: [...usages], ext: extractable };
}

function hmacKey(bytes, hash, extractable, usages, length = bytes.length * 8) {
  if (bytes.length === 0) throw dom("DataError", "The key is empty");
  if (length > bytes.length * 8 || length <= bytes.length * 8 - 8) throw dom("DataError", "The key's length does not fit its data");
  return makeKey("secret", { name: "HMAC", hash: { name: hash }, length }, extractable, usages, bytes);
}

const hmacUsages = ["sign", "verify"];
const hmacBits = ({ length, hash }) => (length === undefined ? HASHES[normalizeHash(hash)] : Number(length));

const hmac = {
  sign: ({ name }, key, data) => {
    const { algorithm, data: bytes } = usableKey(key, name, "sign");
    return native.call("crypto.hmacSign", algorithm.hash.name, bytes, data).buffer;
  },
  verify: ({ name }, key, signature, data) => {
    const { algorithm, data: bytes } = usableKey(key, name, "verify");
    return native.call("crypto.hmacVerify", algorithm.hash.name, bytes, data, signature);
  },
  importKey(algorithm, format, keyData, extractable, usages) {
    const allowed = checkedUsages(usages, hmacUsages);
    const hash = normalizeHash(algorithm.hash);
    const bytes = secretBytes(format, keyData, { alg: hmacJwkName(hash), use: "sig", extractable, usages: allowed });
    return hmacKey(bytes, hash, extractable, allowed, algorithm.length);
  },
  exportKey: (state, format) => exportSecret(state, format, hmacJwkName(state.algorithm.hash.name)),
  generateKey(algorithm, extractable, usages) {
    const allowed = checkedUsages(usages, hmacUsages);
    const bits = hmacBits(algorithm);
    if (!(bits > 0)) throw dom("OperationError", "The key length must be positive");
    return hmacKey(randomBytes(Math.ceil(bits / 8)), normalizeHash(algorithm.hash), extractable, allowed, bits);
  },
  derivedBits: hmacBits,
};

const aesUsages = ["encrypt", "decrypt", "wrapKey", "unwrapKey"];

function aesBits({ length }) {
  if (![128, 192, 256].includes(Number(length))) throw dom("OperationError", "AES keys have 128, 192 or 256 bits");
  return Number(length);
}

/** The bytes of a parameter that must be there. */
function parameter(algorithm, name) {
  if (algorithm[name] === undefined) throw new TypeError(`${algorithm.name}: ${name} is required`);
  return shared.view(algorithm[name], name);
}

function vector(algorithm, name, length) {
  const bytes = parameter(algorithm, name);
  if (bytes.length !== length) throw dom("OperationError", `${algorithm.name}: ${name} must have ${length} bytes`);
  return bytes;
}

function aes(name, run) {
  const alg = (bits) => `A${bits}${name.slice(4)}`;
  const cipher = (usage) => (algorithm, key, data) => {
    const { data: bytes } = usableKey(key, name, usage);
    return run(usage === "encrypt", bytes, algorithm, data).buffer;
  };
  const key = (bytes, extractable, usages) => makeKey("secret", { name, length: bytes.length * 8 }, extractable, usages, bytes);
  return {
    encrypt: cipher("encrypt"),
    decrypt: cipher("decrypt"),
    importKey(algorithm, format, keyData, extractable, usages) {
      const allowed = checkedUsages(usages, aesUsages);
      const bytes = secretBytes(format, keyData, { use: "enc", extractable, usages: allowed });
      if (![16, 24, 32].includes(bytes.length)) throw dom("DataError", "AES keys have 128, 192 or 256 bits");
      if (format === "jwk" && keyData.alg !== undefined && keyData.alg !== alg(bytes.length * 8)) {
        throw dom("DataError", `The JWK's alg must be '${alg(bytes.length * 8)}'`);
      }
      return key(bytes, extractable, allowed);
    },
    exportKey: (state, format) => exportSecret(state, format, alg(state.algorithm.length)),
    generateKey(algorithm, extractable, usages) {
      const allowed = checkedUsages(usages, aesUsages);
      return key(randomBytes(aesBits(algorithm) / 8), extractable, allowed);
    },
    derivedBits: aesBits,
  };
}

const gcmTagBits = ({ tagLength = 128 }) => {
  if (![32, 64, 96, 104, 112, 120, 128].includes(Number(tagLength))) throw dom("OperationError", "AES-GCM: invalid tagLength");
  return Number(tagLength);
};

// ---- Keys of two halves. Private ones are kept as `private`, public ones as `public` of a family.

/** Usages of the halves of a pair, which together must not be empty. */
function pairUsages(usages, ofPublic, ofPrivate) {
  const all = checkedUsages(usages, [...ofPublic, ...ofPrivate]);
  const mine = all.filter((usage) => ofPrivate.includes(usage));
  if (mine.length === 0) throw dom("SyntaxError", "Usages cannot be empty when creating a key");
  return { ofPublic: all.filter((usage) => ofPublic.includes(usage)), ofPrivate: mine };
}

/** Usages of one half; a public key may have none. */
function halfUsages(usages, allowed, type) {
  if (type === "public" && Array.from(usages).length === 0) return [];
  return checkedUsages(usages, allowed);
}

function exportDer({ type, data, algorithm }, format, toPkcs8, toSpki) {
  if (format === "pkcs8") {
    if (type !== "private") throw dom("InvalidAccessError", "The key is not a private key");
    return toPkcs8(data, algorithm).buffer;
  }
  if (format === "spki") {
    if (type !== "public") throw dom("InvalidAccessError", "The key is not a public key");
    return toSpki(data, algorithm).buffer;
  }
  throw unsupportedFormat(format);
}

function usablePrivate(key, name, usage) {
  const state = usableKey(key, name, usage);
  if (state.type !== "private") throw dom("InvalidAccessError", "The key is not a private key");
  return state;
}

function usablePublic(key, name, usage) {
  const state = usableKey(key, name, usage);
  if (state.type !== "public") throw dom("InvalidAccessError", "The key is not a public key");
  return state;
}

const bitLength = (bytes) => {
  const first = bytes.findIndex((byte) => byte !== 0);
  return first < 0 ? 0 : (bytes.length - first) * 8 - Math.clz32(bytes[first]) + 24;
};

function rsa(name, { ofPublic, ofPrivate, use, alg }) {
  const describe = (n, e, hash) => ({ name, modulusLength: bitLength(n), publicExponent: e, hash: { name: hash } });
  const base = {
    importKey(algorithm, format, keyData, extractable, usages) {
      const hash = normalizeHash(algorithm.hash);
      const isPrivate = format === "pkcs8" || (format === "jwk" && keyData?.d !== undefined);
      const type = isPrivate ? "private" : "public";
      const allowed = halfUsages(usages, isPrivate ? ofPrivate : ofPublic, type);
      let imported;
      if (format === "pkcs8") imported = native.call("rsa.importPrivate", shared.view(keyData, "importKey"));
      else if (format === "spki") imported = native.call("rsa.importPublic", shared.view(keyData, "importKey"));
      else if (format === "jwk") {
        checkJwk(keyData, { kty: "RSA", alg: alg(hash), use, extractable, usages: allowed });
        if (keyData.oth !== undefined) throw dom("NotSupportedError", "RSA keys of more than two primes are not supported");
        const parts = isPrivate ? ["n", "e", "d", "p", "q"] : ["n", "e"];
        imported = native.call("rsa.fromParts", parts.map((part) => fromBase64Url(keyData[part])));
      } else throw unsupportedFormat(format);
      const [der, n, e] = imported;
      return makeKey(type, describe(n, e, hash), extractable, allowed, der);
    },
    exportKey(state, format) {
      if (format !== "jwk") return exportDer(state, format, (data) => data.slice(), (data) => data.slice());
      const { algorithm, usages, extractable } = state;
      const jwk = { key_ops: [...usages], ext: extractable, kty: "RSA", alg: alg(algorithm.hash.name) };
      const names = state.type === "private" ? ["n", "e", "d", "p", "q", "dp", "dq", "qi"] : ["n", "e"];
      const parts = state.type === "private" ? native.call("rsa.privateParts", state.data) : native.call("rsa.importPublic", state.data).slice(1);
      names.forEach((part, at) => (jwk[part] = toBase64Url(parts[at])));
      return jwk;
    },
    generateKey(algorithm, extractable, usages) {
      const split = pairUsages(usages, ofPublic, ofPrivate);
      const hash = normalizeHash(algorithm.hash);
      const exponent = parameter(algorithm, "publicExponent");
      const der = native.call("rsa.generate", Number(algorithm.modulusLength), exponent, seed());
      const [, n, e] = native.call("rsa.importPrivate", der);
      return {
        publicKey: makeKey("public", describe(n, e, hash), true, split.ofPublic, native.call("rsa.publicOf", der)),
        privateKey: makeKey("private", describe(n, e, hash), extractable, split.ofPrivate, der),
      };
    },
  };
  if (name === "RSA-OAEP") {
    const run = (op) => (algorithm, state, data) => {
      const label = algorithm.label === undefined ? new Uint8Array(0) : shared.view(algorithm.label, "label");
      return native.call(op, state.algorithm.hash.name, state.data, label, data).buffer;
    };
    const encrypt = run("rsa.encrypt");
    const decrypt = run("rsa.decrypt");
    return {
      ...base,
      encrypt: (algorithm, key, data) => encrypt(algorithm, usablePublic(key, name, "encrypt"), data),
      decrypt: (algorithm, key, data) => decrypt(algorithm, usablePrivate(key, name, "decrypt"), data),
    };
  }
  const salt = (algorithm) => {
    if (name !== "RSA-PSS") return null;
    if (algorithm.saltLength === undefined) throw new TypeError("RSA-PSS: saltLength is required");
    return Number(algorithm.saltLength);
  };
  return {
    ...base,
    sign(algorithm, key, data) {
      const state = usablePrivate(key, name, "sign");
      return native.call("rsa.sign", state.algorithm.hash.name, state.data, data, salt(algorithm)).buffer;
    },
    verify(algorithm, key, signature, data) {
      const state = usablePublic(key, name, "verify");
      return native.call("rsa.verify", state.algorithm.hash.name, state.data, data, signature, salt(algorithm));
    },
  };
}

const FIELD_BYTES = { __proto__: null, "P-256": 32, "P-384": 48, "P-521": 66 };

function curveOf({ namedCurve }) {
  if (!(namedCurve in FIELD_BYTES)) throw dom("NotSupportedError", `Unrecognized or invalid curve ${namedCurve}`);
  return `${namedCurve}`;
}

function ec(name, { ofPublic, ofPrivate, use }) {
  const describe = (namedCurve) => ({ name, namedCurve });
  return {
    importKey(algorithm, format, keyData, extractable, usages) {
      const curve = curveOf(algorithm);
      const isPrivate = format === "pkcs8" || (format === "jwk" && keyData?.d !== undefined);
      const type = isPrivate ? "private" : "public";
      const allowed = type === "public" && ofPublic.length === 0 ? checkedNone(usages) : halfUsages(usages, isPrivate ? ofPrivate : ofPublic, type);
      const bytes = format === "jwk" ? undefined : shared.view(keyData, "importKey");
      let data;
      if (format === "raw") data = native.call("ec.checkPoint", curve, bytes);
      else if (format === "pkcs8") data = native.call("ec.fromPkcs8", curve, bytes);
      else if (format === "spki") data = native.call("ec.fromSpki", curve, bytes);
      else if (format === "jwk") {
        checkJwk(keyData, { kty: "EC", use, extractable, usages: allowed });
        if (keyData.crv !== curve) throw dom("DataError", `The JWK's crv must be '${curve}'`);
        const x = fromBase64Url(keyData.x);
        const y = fromBase64Url(keyData.y);
        if (x.length !== FIELD_BYTES[curve] || y.length !== x.length) throw dom("DataError", "The JWK's x and y do not fit its curve");
        const point = native.call("ec.checkPoint", curve, shared.concat([new Uint8Array([4]), x, y]));
        if (isPrivate) {
          data = fromBase64Url(keyData.d);
          const own = data.length === FIELD_BYTES[curve] && native.call("ec.publicOf", curve, data);
          if (!own || own.some((byte, at) => byte !== point[at])) throw dom("DataError", "The JWK's d does not fit its x and y");
        } else data = point;
      } else throw unsupportedFormat(format);
      return makeKey(type, describe(curve), extractable, allowed, data);
    },
    exportKey(state, format) {
      const { type, data, usages, extractable, algorithm } = state;
      const curve = algorithm.namedCurve;
      if (format === "raw") {
        if (type !== "public") throw dom("InvalidAccessError", "The key is not a public key");
        return data.slice().buffer;
      }
      if (format !== "jwk") {
        return exportDer(state, format, (scalar) => native.call("ec.toPkcs8", curve, scalar), (point) => native.call("ec.toSpki", curve, point));
      }
      const point = type === "private" ? native.call("ec.publicOf", curve, data) : data;
      const length = FIELD_BYTES[curve];
      const jwk = { key_ops: [...usages], ext: extractable, kty: "EC", x: toBase64Url(point.slice(1, 1 + length)), y: toBase64Url(point.slice(1 + length)), crv: curve };
      if (type === "private") jwk.d = toBase64Url(data);
      return jwk;
    },
    generateKey(algorithm, extractable, usages) {
      const curve = curveOf(algorithm);
      const split = pairUsages(usages, ofPublic, ofPrivate);
      const scalar = native.call("ec.generate", curve, seed());
      return {
        publicKey: makeKey("public", describe(curve), true, split.ofPublic, native.call("ec.publicOf", curve, scalar)),
        privateKey: makeKey("private", describe(curve), extractable, split.ofPrivate, scalar),
      };
    },
  };
}

/** Public keys for deriving have no usages. */
function checkedNone(usages) {
  if (Array.from(usages).length > 0) throw dom("SyntaxError", "Cannot create a key using the specified key usages");
  return [];
}

function curve25519(name, { ofPublic, ofPrivate, use }) {
  const describe = () => ({ name });
  return {
    importKey(algorithm, format, keyData, extractable, usages) {
      const isPrivate = format === "pkcs8" || (format === "jwk" && keyData?.d !== undefined);
      const type = isPrivate ? "private" : "public";
      const allowed = type === "public" && ofPublic.length === 0 ? checkedNone(usages) : halfUsages(usages, isPrivate ? ofPrivate : ofPublic, type);
      const bytes = format === "jwk" ? undefined : shared.view(keyData, "importKey");
      let data;
      if (format === "raw") data = bytes.slice();
      else if (format === "pkcs8") data = native.call("curve25519.fromPkcs8", name, bytes);
      else if (format === "spki") data = native.call("curve25519.fromSpki", name, bytes);
      else if (format === "jwk") {
        checkJwk(keyData, { kty: "OKP", use, extractable, usages: allowed });
        if (keyData.crv !== name) throw dom("DataError", `The JWK's crv must be '${name}'`);
        // JOSE calls the algorithm EdDSA.
        if (name === "Ed25519" && ![undefined, "EdDSA", "Ed25519"].includes(keyData.alg)) throw dom("DataError", "The JWK's alg must be 'EdDSA'");
        const x = fromBase64Url(keyData.x);
        data = isPrivate ? fromBase64Url(keyData.d) : x;
        if (isPrivate && data.length === 32 && native.call("curve25519.publicOf", name, data).some((byte, at) => byte !== x[at])) {
          throw dom("DataError", "The JWK's d does not fit its x");
        }
      } else throw unsupportedFormat(format);
      if (data.length !== 32) throw dom("DataError", "The key data is invalid");
      return makeKey(type, describe(), extractable, allowed, data);
    },
    exportKey(state, format) {
      const { type, data, usages, extractable } = state;
      if (format === "raw") {
        if (type !== "public") throw dom("InvalidAccessError", "The key is not a public key");
        return data.slice().buffer;
      }
      if (format !== "jwk") {
        return exportDer(state, format, (own) => native.call("curve25519.toPkcs8", name, own), (own) => native.call("curve25519.toSpki", name, own));
      }
      const x = type === "private" ? native.call("curve25519.publicOf", name, data) : data;
      const jwk = { key_ops: [...usages], ext: extractable, crv: name, x: toBase64Url(x), kty: "OKP" };
      if (type === "private") jwk.d = toBase64Url(data);
      return jwk;
    },
    generateKey(algorithm, extractable, usages) {
      const split = pairUsages(usages, ofPublic, ofPrivate);
      const own = seed();
      return {
        publicKey: makeKey("public", describe(), true, split.ofPublic, native.call("curve25519.publicOf", name, own)),
        privateKey: makeKey("private", describe(), extractable, split.ofPrivate, own),
      };
    },
  };
}

const ecdsaHash = ({ hash }) => {
  if (hash === undefined) throw new TypeError("ECDSA: hash is required");
  return normalizeHash(hash);
};
const ecdsa = {
  sign(algorithm, key, data) {
    const state = usablePrivate(key, "ECDSA", "sign");
    return native.call("ec.sign", state.algorithm.namedCurve, ecdsaHash(algorithm), state.data, data).buffer;
  },
  verify(algorithm, key, signature, data) {
    const state = usablePublic(key, "ECDSA", "verify");
    return native.call("ec.verify", state.algorithm.namedCurve, ecdsaHash(algorithm), state.data, data, signature);
  },
};
const ed25519 = {
  sign: (_, key, data) => native.call("ed25519.sign", usablePrivate(key, "Ed25519", "sign").data, data).buffer,
  verify: (_, key, signature, data) => native.call("ed25519.verify", usablePublic(key, "Ed25519", "verify").data, data, signature),
};

// ---- Deriving.

/** Whole bytes; `null` is as much as there is. */
function derivedBytes(length, most) {
  if (length === null || length === undefined) {
    if (most === undefined) throw dom("OperationError", "The length must be given");
    return most;
  }
  if (!(Number(length) >= 0) || Number(length) % 8 !== 0) throw dom("OperationError", "The length must be a multiple of 8");
  return Number(length) / 8;
}

function ecdhBits(algorithm, key, length) {
  const own = usablePrivate(key, "ECDH");
  const other = keyState(algorithm.public);
  if (other.type !== "public" || other.algorithm.name !== "ECDH" || other.algorithm.namedCurve !== own.algorithm.namedCurve) {
    throw dom("InvalidAccessError", "The public key does not fit the private one");
  }
  const bits = native.call("ec.derive", own.algorithm.namedCurve, own.data, other.data);
  const bytes = length === null || length === undefined ? bits.length : Math.ceil(Number(length) / 8);
  if (bytes > bits.length) throw dom("OperationError", "The length is more than can be derived");
  const cut = bits.slice(0, bytes);
  const rest = Number(length ?? 0) % 8;
  if (rest !== 0) cut[bytes - 1] &= 0xff << (8 - rest);
  return cut.buffer;
}

function pbkdf2Bits(algorithm, key, length) {
  const { data } = usableKey(key, "PBKDF2");
  const iterations = Number(algorithm.iterations);
  if (!(iterations > 0)) throw dom("OperationError", "PBKDF2: iterations must be positive");
  return native.call("crypto.pbkdf2", normalizeHash(algorithm.hash), data, parameter(algorithm, "salt"), iterations, derivedBytes(length)).buffer;
}

function hkdfBits(algorithm, key, length) {
  const { data } = usableKey(key, "HKDF");
  return native.call("crypto.hkdf", normalizeHash(algorithm.hash), data, parameter(algorithm, "salt"), parameter(algorithm, "info"), derivedBytes(length)).buffer;
}

const derivation = (name) => ({
  importKey(algorithm, format, keyData, extractable, usages) {
    if (format !== "raw") throw unsupportedFormat(format);
    if (extractable) throw dom("SyntaxError", `${name} keys are not extractable`);
    const allowed = checkedUsages(usages, ["deriveKey", "deriveBits"]);
    return makeKey("secret", { name }, false, allowed, shared.view(keyData, "importKey").slice());
  },
});

const deriveBits = { __proto__: null, ECDH: ecdhBits, PBKDF2: pbkdf2Bits, HKDF: hkdfBits };

const signing = { ofPublic: ["verify"], ofPrivate: ["sign"], use: "sig" };
const deriving = { ofPublic: [], ofPrivate: ["deriveKey", "deriveBits"], use: "enc" };
const rsaBits = (hash) => (hash === "SHA-1" ? "1" : hash.slice(4));

/** algorithm name → operation → implementation. */
const algorithms = {
  __proto__: null,
  HMAC: hmac,
  "AES-CBC": aes("AES-CBC", (encrypts, key, algorithm, data) => native.call("aes.cbc", encrypts, key, vector(algorithm, "iv", 16), data)),
  "AES-CTR": aes("AES-CTR", (_, key, algorithm, data) => native.call("aes.ctr", key, vector(algorithm, "counter", 16), Number(algorithm.length), data)),
  "AES-GCM": aes("AES-GCM", (encrypts, key, algorithm, data) => {
    const aad = algorithm.additionalData === undefined ? new Uint8Array(0) : shared.view(algorithm.additionalData, "additionalData");
    return native.call("aes.gcm", encrypts, key, parameter(algorithm, "iv"), aad, gcmTagBits(algorithm), data);
  }),
  "RSASSA-PKCS1-v1_5": rsa("RSASSA-PKCS1-v1_5", { ...signing, alg: (hash) => `RS${rsaBits(hash)}` }),
  "RSA-PSS": rsa("RSA-PSS", { ...signing, alg: (hash) => `PS${rsaBits(hash)}` }),
  "RSA-OAEP": rsa("RSA-OAEP", {
    ofPublic: ["encrypt", "wrapKey"],
    ofPrivate: ["decrypt", "unwrapKey"],
    use: "enc",
    alg: (hash) => (hash === "SHA-1" ? "RSA-OAEP" : `RSA-OAEP-${rsaBits(hash)}`),
  }),
  ECDSA: { ...ec("ECDSA", signing), ...ecdsa },
  ECDH: ec("ECDH", deriving),
  Ed25519: { ...curve25519("Ed25519", signing), ...ed25519 },
  X25519: curve25519("X25519", deriving),
  PBKDF2: derivation("PBKDF2"),
  HKDF: derivation("HKDF"),
};
for (const name of Object.keys(HASHES)) {
  algorithms[name] = { digest: (_, data) => native.call("crypto.digest", name, data).buffer };
}
for (const name of Object.keys(deriveBits)) {
  algorithms[name].deriveBits = (algorithm, key, length) => {
    usableKey(key, name, "deriveBits");
    return deriveBits[name](algorithm, key, length);
  };
  algorithms[name].deriveKey = (algorithm, key, derived, extractable, usages) => {
    usableKey(key, name, "deriveKey");
    const wanted = normalize(derived);
    const { derivedBits } = algorithms[wanted.name];
    // A key that is derived from again is as long as there is material.
    if (derivedBits === undefined && !(wanted.name in deriveBits && wanted.name !== "ECDH")) {
      throw dom("NotSupportedError", `Unrecognized or invalid algorithm ${wanted.name}`);
    }
    const bits = deriveBits[name](algorithm, key, derivedBits?.(wanted) ?? null);
    return implementation("importKey", wanted.name)(wanted, "raw", bits, extractable, usages);
  };
}

function implementation(operation, name) {
  const found = algorithms[name]?.[operation];
  if (found !== undefined) return found;
  if (name === "AES-KW" || (name === "X25519" && operation.startsWith("derive"))) shared.notImplemented(`crypto.subtle.${operation}`, name);
  throw dom("NotSupportedError", `Unrecognized or invalid algorithm ${name}`);
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
