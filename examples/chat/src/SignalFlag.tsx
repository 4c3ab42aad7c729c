/** The international maritime signal flag of a name's first letter. */
export function SignalFlag({ name }: { name: string }) {
  const letter = name.normalize("NFD").charAt(0).toUpperCase();
  const [ground, ...shapes] = FLAGS[letter] ?? ["b", "wM0 0h24v24H0z M4 4v16h16V4z"];
  return (
    <svg className="flag" viewBox="0 0 24 24" role="img" aria-label={letter}>
      <path fill={COLORS[ground]} d="M0 0h24v24H0z" />
      {shapes.map((shape, i) => (
        <path key={i} fill={COLORS[shape[0]]} fillRule="evenodd" d={shape.slice(1)} />
      ))}
    </svg>
  );
}

const COLORS: Record<string, string> = {
  b: "#1f4e9e",
  k: "#1c1f26",
  r: "#d7263d",
  w: "#ffffff",
  y: "#ffd23f",
};

/** Per letter: the ground's colour, then shapes as colour and path. */
const FLAGS: Record<string, string[]> = {
  A: ["w", "bM12 0h12l-6 12 6 12H12z"],
  B: ["r"],
  C: ["b", "wM0 5h24v14H0z", "rM0 10h24v4H0z"],
  D: ["y", "bM0 6h24v12H0z"],
  E: ["b", "rM0 12h24v12H0z"],
  F: ["w", "rM12 0 24 12 12 24 0 12z"],
  G: ["y", "bM4 0h4v24H4zM12 0h4v24h-4zM20 0h4v24h-4z"],
  H: ["w", "rM12 0h12v24H12z"],
  I: ["y", "kM12 6a6 6 0 1 0 0 12 6 6 0 0 0 0-12z"],
  J: ["b", "wM0 8h24v8H0z"],
  K: ["y", "bM12 0h12v24H12z"],
  L: ["y", "kM12 0h12v12H12zM0 12h12v12H0z"],
  M: ["b", "wM0 0h5l7 7 7-7h5v5l-7 7 7 7v5h-5l-7-7-7 7H0v-5l7-7-7-7z"],
  N: ["w", "bM0 0h6v6H0zM12 0h6v6h-6zM6 6h6v6H6zM18 6h6v6h-6zM0 12h6v6H0zM12 12h6v6h-6zM6 18h6v6H6zM18 18h6v6h-6z"],
  O: ["y", "rM0 0h24v24z"],
  P: ["b", "wM7 7h10v10H7z"],
  Q: ["y"],
  R: ["r", "yM9 0h6v24H9zM0 9h24v6H0z"],
  S: ["w", "bM7 7h10v10H7z"],
  T: ["r", "wM8 0h8v24H8z", "bM16 0h8v24h-8z"],
  U: ["w", "rM0 0h12v12H0zM12 12h12v12H12z"],
  V: ["w", "rM0 0h5l7 7 7-7h5v5l-7 7 7 7v5h-5l-7-7-7 7H0v-5l7-7-7-7z"],
  W: ["b", "wM5 5h14v14H5z", "rM9 9h6v6H9z"],
  X: ["w", "bM9 0h6v24H9zM0 9h24v6H0z"],
  Y: ["y", "rM0 6 6 0h6L0 12zM0 18 18 0h6L0 24zM6 24 24 6v6L12 24zM18 24l6-6v6z"],
  Z: ["y", "kM0 0 12 12 0 24z", "bM24 0 12 12l12 12z", "rM0 24 12 12l12 12z"],
};
