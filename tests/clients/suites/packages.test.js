// Packages from npm, bundled by the CLI and used from functions.

import assert from "node:assert/strict";
import http from "node:http";
import { text } from "node:stream/consumers";

import { anyApi } from "convex/server";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import Stripe from "stripe";
import { Webhook } from "svix";

import { harness } from "../lib/harness.js";

const { helpers, pages, plain, services, tokens } = anyApi;

/** Answers as the services do, as far as the functions ask. */
async function fakeServer() {
  const requests = [];
  const keys = { keys: [] };
  const server = http.createServer(async (request, response) => {
    const body = await text(request);
    requests.push({ method: request.method, url: request.url, headers: request.headers, body });
    const json = (value, status = 200) => response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(value));
    if (request.url === "/jwks") return json(keys);
    if (request.url === "/v1/customers") return json({ id: "cus_1", object: "customer" });
    if (request.url === "/v1/customers/missing") return json({ error: { type: "invalid_request_error", code: "resource_missing", message: "No such customer" } }, 404);
    if (request.url === "/emails") return json({ id: "mail_1" });
    if (request.url !== "/v1/chat/completions") return json({}, 404);
    const base = { id: "c", object: "chat.completion.chunk", created: 1, model: "m" };
    if (!JSON.parse(body).stream) {
      return json({ ...base, object: "chat.completion", choices: [{ index: 0, finish_reason: "stop", message: { role: "assistant", content: "Hello there" } }], usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 } });
    }
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    for (const content of ["Hel", "lo ", "thére"]) {
      response.write(`data: ${JSON.stringify({ ...base, choices: [{ index: 0, delta: { role: "assistant", content } }] })}\n\n`);
      await new Promise((resolve) => setImmediate(resolve));
    }
    response.end(`data: ${JSON.stringify({ ...base, choices: [{ index: 0, delta: {}, finish_reason: "stop" }] })}\n\ndata: [DONE]\n\n`);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, requests, keys, close: () => server.close() };
}

let fake;
const t = harness("packages", { prepare: async () => (fake = await fakeServer()), dispose: () => fake?.close() });
const ask = async (reference, args = {}) => await t.http().query(reference, args);
const act = async (reference, args = {}) => await t.http().action(reference, args);

t.check("zod 4 and 3", async () => {
  assert.deepEqual(await ask(plain.zod4), { good: { name: "Ada", email: "ada@example.com", tags: [] }, issues: ["name: too_small", "email: invalid_format", "tags.0: invalid_value"], schema: true });
  assert.deepEqual(await ask(plain.zod3), {
    at: "2026-01-02T03:04:05.000Z",
    issues: ["name: String must contain at least 2 character(s)", "at: Invalid date", "kind.k: Invalid discriminator value. Expected 'x' | 'y'"],
  });
});

t.check("date-fns, lodash, uuid, nanoid, effect", async () => {
  assert.deepEqual(await ask(plain.dates), ["2026-03-02 Monday", 40]);
  assert.deepEqual(await ask(plain.lodash), { grouped: { odd: [1, 3], even: [2, 4] }, merged: { a: { b: 1, c: [1, 2] } }, words: "Some Camel Case Text", equal: true, template: "EvalError: Code generation from strings disallowed for this context" });
  assert.match(await ask(plain.names), /^[0-9a-f]{8}-[0-9a-f]{4}-5/);
  await assert.rejects(ask(plain.randomInQuery), /Can't use cryptographic randomness in queries and mutations/);
  assert.deepEqual(await act(plain.ids), { v4: true, nanoid: 21, custom: true, differ: true });
  assert.deepEqual(await ask(plain.effect), [42, "Failure", 3]);
});

t.check("jose signs, verifies and fetches keys", async () => {
  assert.deepEqual(await ask(tokens.symmetric), { payload: { role: "admin", sub: "me" }, alg: "HS256", forged: "ERR_JWS_SIGNATURE_VERIFICATION_FAILED" });
  for (const alg of ["RS256", "PS256", "ES256", "ES384", "EdDSA"]) {
    const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
    const token = await new SignJWT({ n: 7 }).setProtectedHeader({ alg, kid: alg }).setIssuer("https://issuer").sign(privateKey);
    const jwk = { ...(await exportJWK(publicKey)), alg, kid: alg };
    assert.deepEqual(await ask(tokens.verify, { token, jwk }), { n: 7, iss: "https://issuer" }, alg);
    fake.keys.keys.push(jwk);
    assert.deepEqual(await act(tokens.remote, { token, url: `${fake.url}/jwks` }), { n: 7, iss: "https://issuer" }, alg);
    const own = await act(tokens.sign, { alg });
    assert.equal((await ask(tokens.verify, own)).n, 1, alg);
  }
});

t.check("stripe checks webhooks and calls its API", async () => {
  const payload = JSON.stringify({ id: "evt_1", object: "event", type: "customer.created" });
  const header = new Stripe("sk_test_x").webhooks.generateTestHeaderString({ payload, secret: "whsec_test" });
  assert.equal(await ask(services.stripeEvent, { payload, header }), "customer.created");
  await assert.rejects(ask(services.stripeEvent, { payload: `${payload} `, header }), /No signatures found matching the expected signature/);
  assert.deepEqual(await act(services.stripeCall, { url: fake.url }), { id: "cus_1", error: ["StripeInvalidRequestError", "resource_missing"] });
  const sent = fake.requests.find(({ url }) => url === "/v1/customers");
  assert.equal(sent.body, "email=ada%40example.com&metadata[a]=1");
  assert.equal(sent.headers.authorization, "Bearer sk_test_x");
});

t.check("svix and resend", async () => {
  const payload = '{"n":1}';
  const hook = new Webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
  const now = new Date();
  const headers = { "svix-id": "msg_1", "svix-timestamp": String(Math.floor(now / 1000)), "svix-signature": hook.sign("msg_1", now, payload) };
  assert.deepEqual(await ask(services.svix, { payload, headers }), [{ n: 1 }, "No matching signature found"]);
  const { data, error } = await act(services.resend, { url: fake.url });
  assert.equal(error, null);
  assert.equal(data.id, "mail_1");
});

t.check("openai and the AI SDK, whole and streamed", async () => {
  assert.deepEqual(await act(services.openai, { url: fake.url }), { whole: "Hello there", parts: ["Hel", "lo ", "thére", ""] });
  assert.deepEqual(await act(services.ai, { url: fake.url }), { text: "Hello there", parts: ["Hel", "lo ", "thére"] });
});

t.check("react-dom/server renders", async () => {
  assert.match(await ask(pages.text, { name: "<Ada>" }), /^<p id="[^"]*" class="x" style="color:red">Hello <!-- -->&lt;Ada&gt;<!-- --> &amp; <!-- -->2<\/p>$/);
  const page = await act(pages.streamed, { name: "Ada" });
  assert.match(page, /<main><p .*Ada.*<\/p><!--\$--><i>late<\/i><!--\/\$--><\/main>/);
});

t.check("convex-helpers: triggers, row-level security, zod arguments, Hono", async () => {
  const http = t.http();
  const user = await http.mutation(helpers.addUser, { name: "Ada" });
  assert.equal(user.fullName, "Ada the First");
  assert.deepEqual((await ask(helpers.notesOf, { owner: "triggers" })).sort(), ["insert Ada", "update Ada"]);
  await http.mutation(helpers.addNote, { owner: "me", text: "mine" });
  assert.deepEqual(await ask(helpers.notesOf, { owner: "me" }), ["mine"]);
  assert.equal(await ask(helpers.zodArgs, { email: "a@example.com" }), "a@example.com 4");
  const error = await ask(helpers.zodArgs, { email: "no", n: 1 }).catch((error) => error);
  assert.deepEqual(error.data.ZodError.map(({ path }) => path.join(".")).sort(), ["email", "n"]);
  const url = (path) => `${t.hull.siteUrl}${path}`;
  const notes = await fetch(url("/api/notes/me"), { headers: { Origin: "http://page.test" } });
  assert.deepEqual([notes.headers.get("access-control-allow-origin"), await notes.json()], ["*", ["mine"]]);
  const echo = await fetch(url("/api/echo?x=1"), { method: "POST", body: "böd" });
  assert.deepEqual([echo.status, echo.headers.get("x-y"), await echo.text()], [201, "z", "1 böd"]);
  assert.equal(await (await fetch(url("/nowhere"))).text(), "not here");
});
