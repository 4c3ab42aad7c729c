import { ConvexError } from "convex/values";
import { useConvexConnectionState, useMutation } from "convex/react";
import { useState } from "react";
import { api } from "../convex/_generated/api";
import type { Doc } from "../convex/_generated/dataModel";
import { SignalFlag } from "./SignalFlag";

type Props = {
  channels: Doc<"channels">[] | undefined;
  current: Doc<"channels"> | undefined;
  name: string;
  onSelect: (channel: string) => void;
  onRename: () => void;
};

export function Sidebar({ channels, current, name, onSelect, onRename }: Props) {
  return (
    <aside className="sidebar">
      <header className="brand">
        <img src="/flag.svg" alt="" width="28" height="28" />
        <span>Hull chat</span>
        <ConnectionState />
      </header>

      <nav aria-label="Channels">
        <h2>Channels</h2>
        <ul>
          {channels?.map((channel) => (
            <li key={channel._id}>
              <a
                href={`#${channel.name}`}
                aria-current={channel._id === current?._id ? "page" : undefined}
              >
                <span className="hash">#</span>
                {channel.name}
              </a>
            </li>
          ))}
        </ul>
        <NewChannel onCreated={onSelect} />
      </nav>

      <footer>
        <button className="profile" onClick={onRename} title="Change your name">
          <SignalFlag name={name} />
          <span className="profile-name">{name}</span>
          <span className="profile-hint">Change</span>
        </button>
      </footer>
    </aside>
  );
}

function NewChannel({ onCreated }: { onCreated: (channel: string) => void }) {
  const create = useMutation(api.channels.create);
  const [name, setName] = useState("");
  const [error, setError] = useState("");

  return (
    <form
      className="new-channel"
      onSubmit={async (event) => {
        event.preventDefault();
        try {
          await create({ name });
          onCreated(name.trim().toLowerCase().replace(/\s+/g, "-"));
          setName("");
        } catch (error) {
          setError(error instanceof ConvexError ? error.data.message : "That did not work.");
        }
      }}
    >
      <input
        aria-label="New channel"
        placeholder="New channel"
        value={name}
        onChange={(event) => {
          setName(event.target.value);
          setError("");
        }}
      />
      {name && <button className="quiet">Add</button>}
      {error && <p role="alert">{error}</p>}
    </form>
  );
}

function ConnectionState() {
  const { isWebSocketConnected, hasEverConnected } = useConvexConnectionState();
  const [state, label] = isWebSocketConnected
    ? ["live", "Live"]
    : ["waiting", hasEverConnected ? "Reconnecting" : "Connecting"];
  return (
    <span className={`connection ${state}`} role="status">
      {label}
    </span>
  );
}
