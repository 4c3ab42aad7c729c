import { until } from "./until.js";

/** A subscription that remembers every result and error it was given. */
export function watch(client, query, args) {
  const seen = [];
  const unsubscribe = client.onUpdate(
    query,
    args,
    (value) => seen.push({ value }),
    (error) => seen.push({ error }),
  );
  return {
    seen,
    unsubscribe,
    get last() {
      return seen.at(-1);
    },
    /** Waits for a result that `matches`; the newest one is asked. */
    async value(what, matches, options) {
      await until(
        `a result: ${what}`,
        () => seen.length > 0 && "value" in seen.at(-1) && matches(seen.at(-1).value),
        options,
      ).catch((error) => {
        error.message += `; last seen: ${JSON.stringify(seen.at(-1)?.value) ?? seen.at(-1)?.error}`;
        throw error;
      });
      return seen.at(-1).value;
    },
    async error(options) {
      await until("an error", () => seen.at(-1)?.error, options);
      return seen.at(-1).error;
    },
  };
}
