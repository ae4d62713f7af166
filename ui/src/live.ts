// What the server tells as it happens, and how well it is heard.
import { useEffect, useState } from "preact/hooks";
import { backoff } from "./again";
import { useAway } from "./away";
import type { Lake, Snapshot } from "./types";

export type Hearing = "connecting" | "live" | "reconnecting" | "logged out" | "forbidden";
export interface Live {
  snapshot: Snapshot | null;
  lake: Lake | null;
  hearing: Hearing;
  heard: number; // when something last came, seconds since 1970
}

export const base = new URL(".", location.href).pathname; // …/homelake/
export const airflow = base.replace(/homelake\/$/, "");

export class Refused extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
  }
}

async function answer(path: string): Promise<Response> {
  const response = await fetch(base + path, { headers: { Accept: "application/json" } });
  if (response.ok) return response;
  const text = await response.text();
  let said = text;
  try {
    const document = JSON.parse(text);
    said = document.error ?? document.detail ?? text;
  } catch {
    // not JSON: said as it is
  }
  throw new Refused(response.status, said);
}

export const json = async <T,>(path: string): Promise<T> => (await answer(path)).json();
export const text = async (path: string): Promise<string> => (await answer(path)).text();

const PATIENCE = 30; // seconds without a word of a new connection
const seconds = () => Date.now() / 1000;

/** Listen to the server, and when that ends or falls silent listen again. Returns how to stop. */
export function hear(change: (part: Partial<Live>) => void): () => void {
  let source: EventSource | null = null;
  let again: ReturnType<typeof setTimeout> | undefined;
  let over = false;
  let failures = 0;
  let [heard, patience] = [0, PATIENCE];
  const say = (part: Partial<Live>) => !over && change(part);
  const failed = (error: unknown) => {
    if (error instanceof Refused && error.status === 401) say({ hearing: "logged out" });
    else if (error instanceof Refused && error.status === 403) say({ hearing: "forbidden" });
    else say({ hearing: "reconnecting" });
  };
  const took = (part: Partial<Live>) => {
    [heard, failures] = [seconds(), 0];
    say({ ...part, heard });
  };
  const listen = () => {
    heard = seconds(); // nothing yet, but the wait begins
    source = new EventSource(base + "api/live");
    source.addEventListener("snapshot", (event) => {
      const snapshot: Snapshot = JSON.parse(event.data);
      patience = snapshot.interval + 12;
      took({ snapshot, hearing: "live" });
    });
    source.addEventListener("lake", (event) => took({ lake: JSON.parse(event.data) }));
    // The server ends a stream now and then, and the browser begins it anew by itself. Only one that is closed for good was refused, and an
    // event stream does not say why: an ordinary call does.
    source.onerror = () => {
      if (source?.readyState !== EventSource.CLOSED) return;
      anew();
      json<Snapshot>("api/snapshot").then((snapshot) => say({ snapshot, heard: seconds() }), failed);
    };
  };
  const close = () => {
    source?.close();
    source = null;
    clearTimeout(again);
  };
  const anew = () => {
    close();
    if (!failures) say({ hearing: "reconnecting" }); // else why is said already, and an alert is not spoken again each time
    again = setTimeout(listen, backoff(failures++));
  };
  json<Lake>("api/lake").then((lake) => say({ lake }), failed);
  listen();
  // A connection that is lost without a word: no browser notices, and none begins it anew.
  const watch = setInterval(() => source && seconds() - heard > patience && anew(), 1000);
  return () => {
    over = true;
    clearInterval(watch);
    close();
  };
}

export function useLive(): Live {
  const [live, set] = useState<Live>({ snapshot: null, lake: null, hearing: "connecting", heard: 0 });
  const away = useAway();
  useEffect(() => {
    if (!away) return hear((part) => set((old) => ({ ...old, ...part })));
    set((old) => (old.hearing === "live" ? { ...old, hearing: "reconnecting" } : old)); // so are its figures, when somebody looks again
  }, [away]);
  return live;
}

/** The time, every second. */
export function useNow(): number {
  const [now, set] = useState(seconds());
  useEffect(() => {
    const timer = setInterval(() => set(seconds()), 1000);
    return () => clearInterval(timer);
  }, []);
  return now;
}

/** Airflow's theme, when the page stands in a frame of Airflow's; else the system's. */
export function useTheme(): "dark" | "light" {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const read = (): "dark" | "light" => {
    try {
      const outer = window.parent !== window ? window.parent.document.documentElement : null;
      if (outer?.classList.contains("dark")) return "dark";
      if (outer?.classList.contains("light")) return "light";
    } catch {
      // a frame of somebody else's
    }
    return system.matches ? "dark" : "light";
  };
  const [theme, set] = useState(read);
  useEffect(() => {
    const look = () => set(read());
    system.addEventListener("change", look);
    let watcher: MutationObserver | null = null;
    try {
      if (window.parent !== window) {
        watcher = new MutationObserver(look);
        watcher.observe(window.parent.document.documentElement, { attributes: true, attributeFilter: ["class"] });
      }
    } catch {
      // as above
    }
    return () => {
      system.removeEventListener("change", look);
      watcher?.disconnect();
    };
  }, []);
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
  }, [theme]);
  return theme;
}
