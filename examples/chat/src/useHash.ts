import { useCallback, useSyncExternalStore } from "react";

/** The part of the address after `#`, so that every channel has a link. */
export function useHash() {
  const hash = useSyncExternalStore(subscribe, () =>
    decodeURIComponent(location.hash.slice(1)),
  );
  const setHash = useCallback((value: string) => {
    location.hash = encodeURIComponent(value);
  }, []);
  return [hash, setHash] as const;
}

function subscribe(onChange: () => void) {
  window.addEventListener("hashchange", onChange);
  return () => window.removeEventListener("hashchange", onChange);
}
