import { useMutation, useQuery } from "convex/react";
import { useEffect, useState } from "react";
import { api } from "../convex/_generated/api";
import { Conversation } from "./Conversation";
import { Join } from "./Join";
import { Sidebar } from "./Sidebar";
import { useHash } from "./useHash";

const NAME_KEY = "hull-chat-name";

export function App() {
  const [name, setName] = useState(() => localStorage.getItem(NAME_KEY) ?? "");
  const [renaming, setRenaming] = useState(false);
  const channels = useQuery(api.channels.list);
  const seed = useMutation(api.channels.seed);
  const [hash, setHash] = useHash();

  useEffect(() => {
    if (channels?.length === 0) void seed();
  }, [channels, seed]);

  const join = (newName: string) => {
    localStorage.setItem(NAME_KEY, newName);
    setName(newName);
    setRenaming(false);
  };

  const channel =
    channels?.find((c) => c.name === hash) ??
    channels?.find((c) => c.name === "general") ??
    channels?.[0];

  // Alt+Up and Alt+Down walk through the channels.
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
      if (!event.altKey || !step || !channels || !channel) return;
      event.preventDefault();
      const next = channels.indexOf(channel) + step + channels.length;
      setHash(channels[next % channels.length].name);
    };
    window.addEventListener("keydown", onKeyDown);
    return () => window.removeEventListener("keydown", onKeyDown);
  }, [channels, channel, setHash]);

  if (name === "" || renaming) {
    return (
      <Join
        name={name}
        onJoin={join}
        onCancel={renaming ? () => setRenaming(false) : undefined}
      />
    );
  }
  return (
    <div className="app">
      <Sidebar
        channels={channels}
        current={channel}
        name={name}
        onSelect={setHash}
        onRename={() => setRenaming(true)}
      />
      {channel ? (
        <Conversation key={channel._id} channel={channel} name={name} />
      ) : (
        <main className="conversation" aria-busy="true" />
      )}
    </div>
  );
}
