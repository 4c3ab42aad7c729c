import { usePaginatedQuery } from "convex/react";
import { api } from "../convex/_generated/api";
import type { Doc } from "../convex/_generated/dataModel";
import { Composer } from "./Composer";
import { SignalFlag } from "./SignalFlag";

type Props = { channel: Doc<"channels">; name: string };

export function Conversation({ channel, name }: Props) {
  const { results, status, loadMore } = usePaginatedQuery(
    api.messages.list,
    { channelId: channel._id },
    { initialNumItems: 30 },
  );
  const messages = results.toReversed();

  return (
    <main className="conversation">
      <header className="topic">
        <h1>
          <span className="hash">#</span>
          {channel.name}
        </h1>
        {channel.topic && <p>{channel.topic}</p>}
      </header>

      {/* The column is reversed, so the browser itself keeps the newest message in view. */}
      <div className="scroller" tabIndex={0} aria-label={`Messages in ${channel.name}`}>
        <div className="messages" aria-busy={status === "LoadingFirstPage"}>
          {(status === "CanLoadMore" || status === "LoadingMore") && (
            <button
              className="quiet earlier"
              disabled={status === "LoadingMore"}
              onClick={() => loadMore(30)}
            >
              {status === "LoadingMore" ? "Loading…" : "Earlier messages"}
            </button>
          )}
          {status === "Exhausted" && messages.length > 0 && (
            <p className="beginning">This is where #{channel.name} begins.</p>
          )}
          {status === "Exhausted" && messages.length === 0 && (
            <div className="empty">
              <SignalFlag name={channel.name} />
              <h2>Nothing here yet</h2>
              <p>Be the first to write in #{channel.name}.</p>
            </div>
          )}
          <ol role="log">
            {messages.map((message, i) => (
              <Message
                key={message._id}
                message={message}
                previous={messages[i - 1]}
                own={message.author === name}
              />
            ))}
          </ol>
        </div>
      </div>

      <Composer channel={channel} name={name} />
    </main>
  );
}

type MessageProps = {
  message: Doc<"messages">;
  previous: Doc<"messages"> | undefined;
  own: boolean;
};

function Message({ message, previous, own }: MessageProps) {
  const time = new Date(message._creationTime);
  const newDay =
    !previous || time.toDateString() !== new Date(previous._creationTime).toDateString();
  const continued =
    !newDay &&
    previous.author === message.author &&
    message._creationTime - previous._creationTime < 5 * 60_000;
  const pending = message._id.startsWith("pending:");

  const classes = ["message", continued && "continued", own && "own", pending && "pending"];
  return (
    <>
      {newDay && (
        <li className="day">
          <time dateTime={time.toISOString()}>
            {time.toLocaleDateString(undefined, { weekday: "long", month: "long", day: "numeric" })}
          </time>
        </li>
      )}
      <li className={classes.filter(Boolean).join(" ")}>
        {!continued && <SignalFlag name={message.author} />}
        <div>
          {!continued && (
            <p className="meta">
              <strong>{message.author}</strong>
              <time dateTime={time.toISOString()} title={time.toLocaleString()}>
                {time.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" })}
              </time>
            </p>
          )}
          <p className="body">{message.body}</p>
        </div>
      </li>
    </>
  );
}
