// What the server tells as it happens, and how well it is heard.
import { useEffect, useState } from "preact/hooks";
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

const seconds = () => Date.now() / 1000;

export function useLive(): Live {
  const [live, set] = useState<Live>({ snapshot: null, lake: null, hearing: "connecting", heard: 0 });
  useEffect(() => {
    let source: EventSource | null = null;
    let again: ReturnType<typeof setTimeout> | undefined;
    let over = false;
    const change = (part: Partial<Live>) => !over && set((old) => ({ ...old, ...part }));
    const lake = () => json<Lake>("api/lake").then((found) => change({ lake: found }), failed);
    const failed = (error: unknown) => {
      if (error instanceof Refused && error.status === 401) change({ hearing: "logged out" });
      else if (error instanceof Refused && error.status === 403) change({ hearing: "forbidden" });
      else change({ hearing: "reconnecting" });
    };
    const listen = () => {
      source = new EventSource(base + "api/live");
      source.addEventListener("snapshot", (event) => change({ snapshot: JSON.parse(event.data), hearing: "live", heard: seconds() }));
      source.addEventListener("lake", (event) => change({ lake: JSON.parse(event.data), heard: seconds() }));
      // The server ends a stream now and then, and the browser begins it anew by itself. Only one that is closed for good was refused, and an
      // event stream does not say why: an ordinary call does.
      source.onerror = () => {
        if (source?.readyState !== EventSource.CLOSED) return;
        change({ hearing: "reconnecting" });
        json<Snapshot>("api/snapshot").then((snapshot) => change({ snapshot, heard: seconds() }), failed);
        again = setTimeout(listen, 3000);
      };
    };
    void lake();
    listen();
    // A connection that is lost without a word.
    const watch = setInterval(() => set((old) => (old.hearing === "live" && seconds() - old.heard > old.snapshot!.interval + 12 ? { ...old, hearing: "reconnecting" } : old)), 1000);
    return () => {
      clearInterval(watch);
      over = true;
      source?.close();
      clearTimeout(again);
    };
  }, []);
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
