import { render } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { ago } from "./format";
import { CompareView } from "./compare";
import { JobsView } from "./jobs";
import { JobView } from "./job";
import { LakeView } from "./lake";
import { airflow, useLive, useNow, useTheme, type Live } from "./live";
import { filterOf, matches } from "./model";
import { Notice, Out, Skip } from "./parts";
import { routeOf, which } from "./route";
import "./style.css";

function useRoute(): string[] {
  const read = () => routeOf(location.hash);
  const [route, set] = useState(read);
  useEffect(() => {
    const look = () => {
      set(read());
      window.scrollTo(0, 0);
    };
    addEventListener("hashchange", look);
    return () => removeEventListener("hashchange", look);
  }, []);
  return route;
}

function App() {
  const live = useLive();
  const now = useNow();
  const theme = useTheme();
  const route = useRoute();
  const main = useRef<HTMLElement>(null);
  const filter = filterOf(location.search);
  const page = route[0] ?? "lake";
  useEffect(() => {
    document.title = page === "lake" ? "Lake · Homelake" : `${which("", route[2] ?? "").name || "Spark jobs"} · Homelake`;
  }, [page, route[2]]);
  return (
    <>
      <Skip to={main} />
      <nav aria-label="Homelake">
        <a href="#/lake" aria-current={page === "lake" ? "page" : undefined}>
          Lake
        </a>
        <a href="#/jobs" aria-current={page !== "lake" ? "page" : undefined}>
          Spark jobs
        </a>
        <Hearing live={live} now={now} />
      </nav>
      <main id="content" ref={main} tabIndex={-1}>
        {live.hearing === "logged out" && (
          <Notice tone="bad">
            Your session has ended. <Out href={`${airflow}api/v2/auth/login`}>Log in to Airflow</Out>
          </Notice>
        )}
        {live.hearing === "forbidden" && <Notice tone="bad">You may not read the DAG lake_governance. Ask whoever runs this Airflow for that right.</Notice>}
        {page !== "lake" && live.snapshot?.problems.map((p) => <Notice key={p} tone="bad">{p}</Notice>)}
        <div class={live.hearing === "live" || !live.heard ? "" : "stale"}>{view(page, route, live, now, theme, filter)}</div>
      </main>
    </>
  );
}

function view(page: string, route: string[], live: Live, now: number, theme: string, filter: ReturnType<typeof filterOf>) {
  if (page === "lake") return <LakeView lake={live.lake} now={now} />;
  const [, a = "", b = "", c = "", d = ""] = route;
  const console = live.lake?.console ?? "";
  if (page === "compare" && d) return <CompareView snapshot={live.snapshot} first={which(a, b)} second={which(c, d)} theme={theme} />;
  if (b) return <JobView snapshot={live.snapshot} which={which(a, b)} now={now} theme={theme} console={console} />;
  const mine = filter ? (live.snapshot?.applications.filter((app) => matches(app.origin, filter)) ?? []) : [];
  const only = mine.length === 1 ? mine[0] : undefined;
  if (only) return <JobView snapshot={live.snapshot} which={which(only.namespace, only.name)} now={now} theme={theme} console={console} />;
  return <JobsView snapshot={live.snapshot} now={now} filter={filter} />;
}

function Hearing({ live, now }: { live: Live; now: number }) {
  const words = live.hearing === "live" && live.snapshot ? `live, ${ago(live.snapshot.at, now)}` : live.heard ? `${live.hearing}, last heard ${ago(live.heard, now)}` : live.hearing;
  return (
    <span class={`hearing ${live.hearing === "live" ? "on" : ""}`}>
      <i aria-hidden="true" />
      {words}
    </span>
  );
}

render(<App />, document.getElementById("app") as HTMLElement);
