// crypto.subtle against Node's: what one makes the other reads, and equal answers where they are determined.

import assert from "node:assert/strict";
import { test } from "node:test";

import { inIsolate } from "./isolate.mjs";
import { sameOutcomes } from "./same.mjs";

const { subtle } = globalThis.crypto;
const data = Uint8Array.from({ length: 100 }, (_, at) => (at * 7) % 256);
const literal = (bytes) => `new Uint8Array([${[...new Uint8Array(bytes)]}])`;
const bytesOf = (array) => new Uint8Array(array);
const list = (expression) => `[...new Uint8Array(${expression})]`;

const RSA = { modulusLength: 1024, publicExponent: new Uint8Array([1, 0, 1]) };
const HASHES = ["SHA-1", "SHA-256", "SHA-384", "SHA-512"];

/** Algorithms with pairs of keys: how to generate, to import and to use. */
const SIGNING = [
  ...HASHES.map((hash) => ({ name: "RSASSA-PKCS1-v1_5", generate: { ...RSA, hash }, use: {} })),
  ...HASHES.map((hash) => ({ name: "RSA-PSS", generate: { ...RSA, hash }, use: { saltLength: 20 } })),
  ...["P-256", "P-384", "P-521"].flatMap((namedCurve) => HASHES.map((hash) => ({ name: "ECDSA", generate: { namedCurve }, use: { hash } }))),
  { name: "Ed25519", generate: {}, use: {} },
];

const code = (value) =>
  JSON.stringify(value, (_, inner) => (inner instanceof Uint8Array ? { bytes: [...inner] } : inner)).replace(/\{"bytes":(\[[^\]]*\])\}/g, "new Uint8Array($1)");

test("signatures of each are good for the other, and keys are the same in all formats", async () => {
  for (const { name, generate, use } of SIGNING) {
    const where = `${name} ${JSON.stringify({ ...generate, publicExponent: undefined, ...use })}`;
    const algorithm = { name, ...generate };
    const pair = await subtle.generateKey(algorithm, true, ["sign", "verify"]);
    const exported = {
      jwkPrivate: await subtle.exportKey("jwk", pair.privateKey),
      jwkPublic: await subtle.exportKey("jwk", pair.publicKey),
      pkcs8: bytesOf(await subtle.exportKey("pkcs8", pair.privateKey)),
      spki: bytesOf(await subtle.exportKey("spki", pair.publicKey)),
    };
    const signature = bytesOf(await subtle.sign({ name, ...use }, pair.privateKey, data));
    const got = await inIsolate(`
      const algorithm = ${code(algorithm)}, use = ${code({ name, ...use })}, data = ${literal(data)}, exported = ${code(exported)};
      const own = [await crypto.subtle.importKey("jwk", exported.jwkPrivate, algorithm, true, ["sign"]), await crypto.subtle.importKey("pkcs8", exported.pkcs8, algorithm, true, ["sign"])];
      const open = [await crypto.subtle.importKey("jwk", exported.jwkPublic, algorithm, true, ["verify"]), await crypto.subtle.importKey("spki", exported.spki, algorithm, true, ["verify"])];
      const signature = ${literal(signature)};
      const forged = signature.slice(); forged[3] ^= 1;
      const verified = [];
      for (const key of open) verified.push(await crypto.subtle.verify(use, key, signature, data), await crypto.subtle.verify(use, key, forged, data), await crypto.subtle.verify(use, key, signature, data.slice(1)));
      const signatures = [];
      for (const key of own) signatures.push(${list("await crypto.subtle.sign(use, key, data)")});
      const out = [];
      for (const key of own) out.push(await crypto.subtle.exportKey("jwk", key), ${list('await crypto.subtle.exportKey("pkcs8", key)')});
      for (const key of open) out.push(await crypto.subtle.exportKey("jwk", key), ${list('await crypto.subtle.exportKey("spki", key)')});
      const { type, extractable, usages, algorithm: { publicExponent, ...described } } = own[0];
      return { verified, signatures, out, key: { type, extractable, usages, described, publicExponent: publicExponent ? [...publicExponent] : null } };
    `);
    assert.deepEqual(got.verified, [true, false, false, true, false, false], where);
    for (const signature of got.signatures) {
      assert.equal(await subtle.verify({ name, ...use }, pair.publicKey, bytesOf(signature), data), true, where);
    }
    const { jwkPrivate, jwkPublic, pkcs8, spki } = exported;
    const sorted = (jwk) => Object.fromEntries(Object.entries(jwk).sort(([a], [b]) => (a < b ? -1 : 1)));
    // Node's JWKs of Ed25519 name no algorithm in some versions and EdDSA in others.
    const plain = (value) => (Array.isArray(value) ? value : sorted({ ...value, alg: name === "Ed25519" ? undefined : value.alg }));
    const expected = [jwkPrivate, [...pkcs8], jwkPrivate, [...pkcs8], jwkPublic, [...spki], jwkPublic, [...spki]];
    assert.deepEqual(got.out.map(plain), expected.map(plain), where);
    const { publicExponent, ...described } = pair.privateKey.algorithm;
    assert.deepEqual(got.key, { type: "private", extractable: true, usages: ["sign"], described, publicExponent: publicExponent ? [...publicExponent] : null }, where);
  }
});

test("keys made here are good there", async () => {
  for (const { name, generate, use } of SIGNING.filter(({ generate }) => generate.hash === undefined || generate.hash === "SHA-256")) {
    const algorithm = { name, ...generate };
    const got = await inIsolate(
      `const pair = await crypto.subtle.generateKey(${code(algorithm)}, true, ["sign", "verify"]);
       const signature = await crypto.subtle.sign(${code({ name, ...use })}, pair.privateKey, ${literal(data)});
       return [${list("signature")}, await crypto.subtle.exportKey("jwk", pair.publicKey), ${list('await crypto.subtle.exportKey("pkcs8", pair.privateKey)')}, pair.publicKey.usages, pair.privateKey.usages];`,
      "action",
    );
    const [signature, jwk, pkcs8, ...usages] = got;
    const key = await subtle.importKey("jwk", jwk, algorithm, true, ["verify"]);
    assert.equal(await subtle.verify({ name, ...use }, key, bytesOf(signature), data), true, name);
    await subtle.importKey("pkcs8", bytesOf(pkcs8), algorithm, true, ["sign"]);
    assert.deepEqual(usages, [["verify"], ["sign"]]);
  }
});

test("AES, HKDF and PBKDF2 give what Node gives", async () => {
  const expressions = [];
  for (const bytes of [16, 24, 32]) {
    const key = (name, usages) => `await crypto.subtle.importKey("raw", ${literal(data.slice(0, bytes))}, "${name}", true, ${JSON.stringify(usages)})`;
    for (const length of [0, 1, 15, 16, 17, 100]) {
      const text = literal(data.slice(0, length));
      const both = (name, parameters, tamper = true) =>
        expressions.push(`(async () => { const key = ${key(name, ["encrypt", "decrypt"])}; const how = { name: "${name}", ${parameters} };
          const sealed = new Uint8Array(await crypto.subtle.encrypt(how, key, ${text}));
          const opened = ${list("await crypto.subtle.decrypt(how, key, sealed)")};
          const bad = sealed.slice(); if (bad.length) bad[bad.length - 1] ^= 1;
          const refused = ${tamper} ? await crypto.subtle.decrypt(how, key, bad).then((plain) => plain.byteLength, (error) => error.name) : null;
          return [[...sealed], opened, refused, (await crypto.subtle.exportKey("jwk", key)).alg]; })()`);
      both("AES-CBC", `iv: ${literal(data.slice(0, 16))}`, false);
      for (const tag of [undefined, 32, 96, 128]) {
        both("AES-GCM", `iv: ${literal(data.slice(0, 12))}, additionalData: ${literal(data.slice(3, 9))}${tag ? `, tagLength: ${tag}` : ""}`);
      }
      both("AES-GCM", `iv: ${literal(data.slice(0, 16))}`);
      for (const [counter, bits] of [[data.slice(0, 16), 64], [new Uint8Array(16).fill(255), 128], [new Uint8Array(16).fill(255), 32], [new Uint8Array(16).fill(253), 9], [new Uint8Array(16), 1]]) {
        both("AES-CTR", `counter: ${literal(counter)}, length: ${bits}`, false);
      }
    }
  }
  for (const hash of HASHES) {
    const base = (name) => `await crypto.subtle.importKey("raw", ${literal(data.slice(5, 40))}, "${name}", false, ["deriveBits", "deriveKey"])`;
    for (const bits of [8, 128, 256, 1000]) {
      expressions.push(
        `(async () => ${list(`await crypto.subtle.deriveBits({ name: "HKDF", hash: "${hash}", salt: ${literal(data.slice(0, 9))}, info: ${literal(data.slice(0, 3))} }, ${base("HKDF")}, ${bits})`)})()`,
        `(async () => ${list(`await crypto.subtle.deriveBits({ name: "PBKDF2", hash: "${hash}", salt: ${literal(data.slice(0, 9))}, iterations: 3 }, ${base("PBKDF2")}, ${bits})`)})()`,
      );
    }
    expressions.push(
      `(async () => { const key = await crypto.subtle.deriveKey({ name: "PBKDF2", hash: "${hash}", salt: ${literal(data.slice(0, 9))}, iterations: 2 }, ${base("PBKDF2")}, { name: "AES-GCM", length: 256 }, true, ["encrypt"]);
        return [key.usages, key.algorithm, ${list('await crypto.subtle.exportKey("raw", key)')}]; })()`,
      `(async () => { const key = await crypto.subtle.deriveKey({ name: "HKDF", hash: "${hash}", salt: ${literal([])}, info: ${literal([])} }, ${base("HKDF")}, { name: "HMAC", hash: "SHA-256" }, true, ["sign"]);
        return [key.usages, key.algorithm, ${list('await crypto.subtle.exportKey("raw", key)')}]; })()`,
    );
  }
  await sameOutcomes(expressions);
});

test("ECDH and RSA-OAEP work across", async () => {
  const expressions = [];
  for (const namedCurve of ["P-256", "P-384", "P-521"]) {
    const pairs = await Promise.all([1, 2].map(() => subtle.generateKey({ name: "ECDH", namedCurve }, true, ["deriveBits", "deriveKey"])));
    const own = await subtle.exportKey("jwk", pairs[0].privateKey);
    const other = bytesOf(await subtle.exportKey("raw", pairs[1].publicKey));
    const keys = `const own = await crypto.subtle.importKey("jwk", ${code(own)}, { name: "ECDH", namedCurve: "${namedCurve}" }, true, ["deriveBits", "deriveKey"]);
      const other = await crypto.subtle.importKey("raw", ${literal(other)}, { name: "ECDH", namedCurve: "${namedCurve}" }, true, []);`;
    for (const bits of ["null", "128", "256", "9999"]) {
      expressions.push(`(async () => { ${keys} return ${list(`await crypto.subtle.deriveBits({ name: "ECDH", public: other }, own, ${bits})`)}; })()`);
    }
    expressions.push(
      `(async () => { ${keys} const key = await crypto.subtle.deriveKey({ name: "ECDH", public: other }, own, { name: "AES-GCM", length: 128 }, true, ["encrypt"]); return ${list('await crypto.subtle.exportKey("raw", key)')}; })()`,
      `(async () => { ${keys} return [${list('await crypto.subtle.exportKey("raw", other)')}, ${list('await crypto.subtle.exportKey("spki", other)')}, other.usages, other.type]; })()`,
    );
  }
  await sameOutcomes(expressions);
  for (const hash of HASHES.slice(0, 2)) {
    const algorithm = { name: "RSA-OAEP", ...RSA, hash };
    const pair = await subtle.generateKey(algorithm, true, ["encrypt", "decrypt"]);
    for (const label of [undefined, new TextEncoder().encode("label")]) {
      const how = { name: "RSA-OAEP", label };
      const sealed = await subtle.encrypt(how, pair.publicKey, data.slice(0, 20));
      const [opened, sealedHere, refused] = await inIsolate(`
        const algorithm = ${code(algorithm)}, how = { name: "RSA-OAEP"${label ? `, label: ${literal(label)}` : ""} };
        const own = await crypto.subtle.importKey("jwk", ${code(await subtle.exportKey("jwk", pair.privateKey))}, algorithm, true, ["decrypt"]);
        const open = await crypto.subtle.importKey("spki", ${literal(await subtle.exportKey("spki", pair.publicKey))}, algorithm, true, ["encrypt"]);
        return [${list(`await crypto.subtle.decrypt(how, own, ${literal(sealed)})`)}, ${list(`await crypto.subtle.encrypt(how, open, ${literal(data.slice(0, 20))})`)},
          await crypto.subtle.decrypt(how, own, ${literal(new Uint8Array(128))}).catch((error) => error.name)];`);
      assert.deepEqual(opened, [...data.slice(0, 20)]);
      assert.deepEqual([...bytesOf(await subtle.decrypt(how, pair.privateKey, bytesOf(sealedHere)))], opened);
      assert.equal(refused, "OperationError");
    }
  }
});

test("X25519 keys come and go in all formats", async () => {
  const [jwk, spki, pkcs8, raw] = await inIsolate(
    `const pair = await crypto.subtle.generateKey("X25519", true, ["deriveBits"]);
     return [await crypto.subtle.exportKey("jwk", pair.privateKey), ${list('await crypto.subtle.exportKey("spki", pair.publicKey)')}, ${list('await crypto.subtle.exportKey("pkcs8", pair.privateKey)')}, ${list('await crypto.subtle.exportKey("raw", pair.publicKey)')}];`,
    "action",
  );
  const key = await subtle.importKey("jwk", jwk, "X25519", true, ["deriveBits"]);
  assert.deepEqual([...bytesOf(await subtle.exportKey("pkcs8", key))], pkcs8);
  const open = await subtle.importKey("spki", bytesOf(spki), "X25519", true, []);
  assert.deepEqual([...bytesOf(await subtle.exportKey("raw", open))], raw);
});

test("what is refused is refused in the same way", async () => {
  const ecdsa = '{ name: "ECDSA", namedCurve: "P-256" }';
  const pair = await subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
  const jwk = code(await subtle.exportKey("jwk", pair.privateKey));
  const aes = (usages, name = "AES-GCM", length = 16) => `crypto.subtle.importKey("raw", new Uint8Array(${length}), "${name}", false, ${usages})`;
  await sameOutcomes([
    aes('["encrypt"]', "AES-GCM", 15),
    aes("[]"),
    aes('["sign"]'),
    `${aes('["encrypt"]')}.then((key) => crypto.subtle.decrypt({ name: "AES-GCM", iv: new Uint8Array(12) }, key, new Uint8Array(20)))`,
    `${aes('["encrypt"]')}.then((key) => crypto.subtle.encrypt({ name: "AES-CBC", iv: new Uint8Array(16) }, key, new Uint8Array(20)))`,
    `${aes('["encrypt"]', "AES-CBC")}.then((key) => crypto.subtle.encrypt({ name: "AES-CBC", iv: new Uint8Array(15) }, key, new Uint8Array(20)))`,
    `${aes('["encrypt"]')}.then((key) => crypto.subtle.encrypt({ name: "AES-GCM", iv: new Uint8Array(12), tagLength: 33 }, key, new Uint8Array(20)))`,
    `crypto.subtle.importKey("jwk", { ...${jwk}, key_ops: ["verify"] }, ${ecdsa}, true, ["sign"])`,
    `crypto.subtle.importKey("jwk", { ...${jwk}, crv: "P-384" }, ${ecdsa}, true, ["sign"])`,
    `crypto.subtle.importKey("jwk", { ...${jwk}, kty: "RSA" }, ${ecdsa}, true, ["sign"])`,
    `crypto.subtle.importKey("jwk", { ...${jwk}, ext: false }, ${ecdsa}, true, ["sign"])`,
    `crypto.subtle.importKey("pkcs8", new Uint8Array(10), ${ecdsa}, true, ["sign"])`,
    `crypto.subtle.importKey("spki", new Uint8Array(10), { name: "RSA-PSS", hash: "SHA-256" }, true, ["verify"])`,
    `crypto.subtle.importKey("raw", new Uint8Array(65), ${ecdsa}, true, ["verify"])`,
    `crypto.subtle.importKey("raw", new Uint8Array(31), "Ed25519", true, ["verify"])`,
    `crypto.subtle.importKey("raw", new Uint8Array(8), "PBKDF2", true, ["deriveBits"])`,
    `crypto.subtle.importKey("jwk", {}, "HKDF", false, ["deriveBits"])`,
    `crypto.subtle.importKey("jwk", ${jwk}, ${ecdsa}, true, ["sign"]).then((key) => crypto.subtle.verify({ name: "ECDSA", hash: "SHA-256" }, key, new Uint8Array(64), new Uint8Array(1)))`,
    `crypto.subtle.importKey("jwk", ${jwk}, ${ecdsa}, true, ["sign"]).then((key) => crypto.subtle.exportKey("spki", key))`,
  ]);
});
