import { addDays, differenceInCalendarDays, format, parseISO } from "date-fns";
import { Effect, Schema } from "effect";
import _ from "lodash";
import { customAlphabet, nanoid } from "nanoid";
import { v4, v5, validate } from "uuid";
import { z } from "zod";
import { z as z3 } from "zod/v3";

import { action, query } from "./_generated/server";

// At module level, as people do: part of the image.
const Profile = z.object({ name: z.string().min(2), email: z.email(), age: z.number().int().optional(), tags: z.array(z.enum(["a", "b"])).default([]) });
const Profile3 = z3.object({ name: z3.string().min(2), at: z3.coerce.date(), kind: z3.discriminatedUnion("k", [z3.object({ k: z3.literal("x"), n: z3.number() }), z3.object({ k: z3.literal("y") })]) });

export const zod4 = query({
  args: {},
  handler: async () => {
    const bad = Profile.safeParse({ name: "A", email: "no", tags: ["c"] });
    return { good: Profile.parse({ name: "Ada", email: "ada@example.com" }), issues: bad.error!.issues.map(({ path, code }) => `${path.join(".")}: ${code}`), schema: JSON.stringify(z.toJSONSchema(Profile)).length > 50 };
  },
});

export const zod3 = query({
  args: {},
  handler: async () => {
    const good = Profile3.parse({ name: "Ada", at: "2026-01-02T03:04:05Z", kind: { k: "x", n: 1 } });
    const bad = Profile3.safeParse({ name: "A", at: "never", kind: { k: "z" } });
    return { at: good.at.toISOString(), issues: bad.error!.issues.map(({ path, message }) => `${path.join(".")}: ${message}`) };
  },
});

export const dates = query({
  args: {},
  handler: async () => {
    const day = parseISO("2026-02-27T10:00:00Z");
    return [format(addDays(day, 3), "yyyy-MM-dd EEEE"), differenceInCalendarDays(addDays(day, 40), day)];
  },
});

export const lodash = query({
  args: {},
  handler: async () => ({
    grouped: _.groupBy([1, 2, 3, 4], (n) => (n % 2 ? "odd" : "even")),
    merged: _.merge({ a: { b: 1 } }, { a: { c: [1, 2] } }),
    words: _.startCase("some camelCase text"),
    equal: _.isEqual(new Map([[1, { a: 1 }]]), new Map([[1, { a: 1 }]])),
    // Makes code from text, which no function may.
    template: _.attempt(() => _.template("Hello <%= name %>")).toString(),
  }),
});

export const names = query({ args: {}, handler: async () => v5("hull", v5.URL) });

export const randomInQuery = query({ args: {}, handler: async () => v4() });

export const ids = action({ args: {}, handler: async () => ({ v4: validate(v4()), nanoid: nanoid().length, custom: /^[ab]{9}$/.test(customAlphabet("ab", 9)()), differ: v4() !== v4() }) });

export const effect = query({
  args: {},
  handler: async () => {
    const program = Effect.gen(function* () {
      const n = yield* Effect.succeed(20);
      const doubled = yield* Effect.sync(() => n * 2);
      return doubled + 2;
    });
    const failed = await Effect.runPromiseExit(Effect.fail("no"));
    const Point = Schema.Struct({ x: Schema.Number });
    return [await Effect.runPromise(program), failed._tag, Schema.decodeUnknownSync(Point)({ x: 3 }).x];
  },
});
