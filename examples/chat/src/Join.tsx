import { useState } from "react";
import { SignalFlag } from "./SignalFlag";

type Props = {
  name: string;
  onJoin: (name: string) => void;
  onCancel?: () => void;
};

export function Join({ name, onJoin, onCancel }: Props) {
  const [draft, setDraft] = useState(name);
  const trimmed = draft.trim();

  return (
    <main className="join">
      <form
        className="card"
        onSubmit={(event) => {
          event.preventDefault();
          if (trimmed) onJoin(trimmed);
        }}
        onKeyDown={(event) => {
          if (event.key === "Escape") onCancel?.();
        }}
      >
        <div className="hoist" aria-hidden="true">
          {[...(trimmed || "HULL")].slice(0, 8).map((letter, i) => (
            <SignalFlag key={i} name={letter} />
          ))}
        </div>
        <h1>Come aboard</h1>
        <p>
          Pick a name. Its first letter is your signal flag. The name stays in
          this browser, there is no account.
        </p>
        <label htmlFor="name">Your name</label>
        <input
          id="name"
          value={draft}
          onChange={(event) => setDraft(event.target.value)}
          maxLength={24}
          autoComplete="nickname"
          placeholder="Grace"
          autoFocus
        />
        <div className="actions">
          {onCancel && (
            <button type="button" className="quiet" onClick={onCancel}>
              Cancel
            </button>
          )}
          <button type="submit" className="primary" disabled={!trimmed}>
            {onCancel ? "Save" : "Start chatting"}
          </button>
        </div>
      </form>
    </main>
  );
}
