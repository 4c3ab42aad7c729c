import * as React from "react";
import { renderToReadableStream, renderToString } from "react-dom/server";
import { v } from "convex/values";

import { action, query } from "./_generated/server";

function Greeting({ name }: { name: string }) {
  const id = React.useId();
  const [count] = React.useState(2);
  return React.createElement("p", { id, className: "x", style: { color: "red" } }, "Hello ", name, " & ", count);
}

export const text = query({ args: { name: v.string() }, handler: async (_, { name }) => renderToString(React.createElement(Greeting, { name })) });

export const streamed = action({
  args: { name: v.string() },
  handler: async (_, { name }) => {
    const Late = React.lazy(async () => ({ default: () => React.createElement("i", null, "late") }));
    const page = React.createElement("main", null, React.createElement(Greeting, { name }), React.createElement(React.Suspense, { fallback: "…" }, React.createElement(Late)));
    const stream = await renderToReadableStream(page);
    await stream.allReady;
    return await new Response(stream).text();
  },
});
