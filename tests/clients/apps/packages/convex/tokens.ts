import { createRemoteJWKSet, decodeProtectedHeader, exportJWK, generateKeyPair, importJWK, jwtVerify, SignJWT } from "jose";
import { v } from "convex/values";

import { action, query } from "./_generated/server";

const secret = new TextEncoder().encode("a secret of thirty-two characters");

export const symmetric = query({
  args: {},
  handler: async () => {
    const token = await new SignJWT({ role: "admin" }).setProtectedHeader({ alg: "HS256" }).setSubject("me").sign(secret);
    const { payload, protectedHeader } = await jwtVerify(token, secret);
    const forged = await jwtVerify(`${token.slice(0, -3)}AAA`, secret).catch((error) => error.code);
    return { payload, alg: protectedHeader.alg, forged };
  },
});

/** Verifies in a query what somebody else has signed. */
export const verify = query({
  args: { token: v.string(), jwk: v.any() },
  handler: async (_, { token, jwk }) => {
    const { alg } = decodeProtectedHeader(token);
    const { payload } = await jwtVerify(token, await importJWK(jwk, alg));
    return payload;
  },
});

export const remote = action({
  args: { token: v.string(), url: v.string() },
  handler: async (_, { token, url }) => (await jwtVerify(token, createRemoteJWKSet(new URL(url)), { issuer: "https://issuer" })).payload,
});

export const sign = action({
  args: { alg: v.string() },
  handler: async (_, { alg }) => {
    const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
    return { token: await new SignJWT({ n: 1 }).setProtectedHeader({ alg }).setIssuedAt().sign(privateKey), jwk: await exportJWK(publicKey) };
  },
});
