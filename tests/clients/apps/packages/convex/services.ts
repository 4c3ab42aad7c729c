import { createOpenAI } from "@ai-sdk/openai";
import { generateText, streamText } from "ai";
import { v } from "convex/values";
import OpenAI from "openai";
import { Resend } from "resend";
import Stripe from "stripe";
import { Webhook } from "svix";

import { action, query } from "./_generated/server";

const url = v.string();
const endpoint = (url: string) => ({ host: new URL(url).hostname, port: Number(new URL(url).port), protocol: "http" as const });

export const stripeEvent = query({
  args: { payload: v.string(), header: v.string() },
  handler: async (_, { payload, header }) => {
    const stripe = new Stripe("sk_test_x", { httpClient: Stripe.createFetchHttpClient() });
    const event = await stripe.webhooks.constructEventAsync(payload, header, "whsec_test", 1e9);
    return event.type;
  },
});

export const stripeCall = action({
  args: { url },
  handler: async (_, { url }) => {
    const stripe = new Stripe("sk_test_x", { ...endpoint(url), httpClient: Stripe.createFetchHttpClient(), maxNetworkRetries: 0 });
    const customer = await stripe.customers.create({ email: "ada@example.com", metadata: { a: "1" } });
    const error = await stripe.customers.retrieve("missing").catch((error) => error);
    return { id: customer.id, error: [error.type, error.code] };
  },
});

export const svix = query({
  args: { payload: v.string(), headers: v.any() },
  handler: async (_, { payload, headers }) => {
    const hook = new Webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    const read = hook.verify(payload, headers) as any;
    let forged = "accepted";
    try {
      hook.verify(payload.replace("1", "2"), headers);
    } catch (error) {
      forged = (error as Error).message;
    }
    return [read, forged];
  },
});

export const resend = action({
  args: { url },
  handler: async (_, { url }) => {
    process.env;
    const client = new Resend("re_x", { baseUrl: url } as any);
    (client as any).baseUrl = url;
    return await client.emails.send({ from: "a@example.com", to: ["b@example.com"], subject: "Hi", html: "<b>hi</b>" });
  },
});

export const openai = action({
  args: { url },
  handler: async (_, { url }) => {
    const client = new OpenAI({ apiKey: "x", baseURL: `${url}/v1` });
    const whole = await client.chat.completions.create({ model: "m", messages: [{ role: "user", content: "hi" }] });
    const parts = [];
    const stream = await client.chat.completions.create({ model: "m", messages: [{ role: "user", content: "hi" }], stream: true });
    for await (const chunk of stream) parts.push(chunk.choices[0]?.delta?.content ?? "");
    return { whole: whole.choices[0].message.content, parts };
  },
});

export const ai = action({
  args: { url },
  handler: async (_, { url }) => {
    const model = createOpenAI({ apiKey: "x", baseURL: `${url}/v1` }).chat("m");
    const { text } = await generateText({ model, prompt: "hi" });
    const parts = [];
    for await (const part of streamText({ model, prompt: "hi" }).textStream) parts.push(part);
    return { text, parts };
  },
});
