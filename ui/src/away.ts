// Whether anybody can see the page: a tab in the background costs the server as much as one that is looked at, for days.
import { useEffect, useState } from "preact/hooks";

const GRACE = 20_000; // ms: to look into another tab for a moment costs nothing

/** Tell when the page has been hidden for a while, and at once when it is seen again. Returns how to stop. */
export function attention(change: (away: boolean) => void): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const look = () => {
    clearTimeout(timer);
    if (document.hidden) timer = setTimeout(() => change(true), GRACE);
    else change(false);
  };
  look();
  document.addEventListener("visibilitychange", look);
  return () => {
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", look);
  };
}

export function useAway(): boolean {
  const [away, set] = useState(false);
  useEffect(() => attention(set), []);
  return away;
}
