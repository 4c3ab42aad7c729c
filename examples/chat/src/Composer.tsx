import { insertAtTop, useMutation } from "convex/react";
import { ConvexError } from "convex/values";
import { useRef, useState } from "react";
import { api } from "../convex/_generated/api";
import type { Doc, Id } from "../convex/_generated/dataModel";

type Props = { channel: Doc<"channels">; name: string };

export function Composer({ channel, name }: Props) {
  const [draft, setDraft] = useState("");
  const [error, setError] = useState("");
  const input = useRef<HTMLTextAreaElement>(null);

  // The message shows up at once; the server's answer then takes its place.
  const sendMessage = useMutation(api.messages.send).withOptimisticUpdate((localQueryStore, args) => {
    insertAtTop({
      paginatedQuery: api.messages.list,
      argsToMatch: { channelId: args.channelId },
      localQueryStore,
      item: {
        ...args,
        _id: `pending:${crypto.getRandomValues(new Uint32Array(2)).join("")}` as Id<"messages">,
        _creationTime: Date.now(),
      },
    });
  });

  const send = async () => {
    const body = draft;
    setDraft("");
    setError("");
    try {
      await sendMessage({ channelId: channel._id, author: name, body });
    } catch (error) {
      setError(error instanceof ConvexError ? error.data.message : "Your message could not be sent.");
      // Give the text back, unless something new has been typed already.
      setDraft((current) => current || body);
    }
    input.current?.focus();
  };

  return (
    <form
      className="composer"
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
    >
      {error && (
        <p className="error" role="alert">
          {error}
        </p>
      )}
      <div className="field">
        <textarea
          ref={input}
          rows={1}
          aria-label={`Message #${channel.name}`}
          placeholder={`Message #${channel.name}`}
          value={draft}
          onChange={(event) => {
            setDraft(event.target.value);
            setError("");
          }}
          onKeyDown={(event) => {
            if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) {
              event.preventDefault();
              void send();
            }
          }}
          autoFocus
        />
        <button type="submit" className="primary">
          Send
        </button>
      </div>
      <p className="hint">
        <kbd>Enter</kbd> sends, <kbd>Shift</kbd> <kbd>Enter</kbd> starts a new line, <kbd>Alt</kbd>{" "}
        <kbd>↑</kbd> <kbd>↓</kbd> switches channels
      </p>
    </form>
  );
}
