// A job's driver and executors.
import { useState } from "preact/hooks";
import { Chart } from "./chart";
import { at, column, level, line } from "./columns";
import { Courses } from "./courses";
import { ago, bytes, cores, percent, span } from "./format";
import { newest, peaks } from "./model";
import { Status } from "./parts";
import type { Application, Columns, Pod, Series } from "./types";

export function Pods({ app, series, theme, now }: { app: Application; series: Series; theme: string; now: number }) {
  const pods = [...app.pods].sort((a, b) => Number(a.role !== "driver") - Number(b.role !== "driver") || a.executor.localeCompare(b.executor, "en", { numeric: true }));
  const drawn = new Set(newest(app.pods)); // a name's course is its newest pod's
  return (
    <section aria-labelledby="pods">
      <h2 id="pods">Driver and executors</h2>
      <div class="pods">{pods.map((pod) => <PodCard key={pod.uid || pod.name} pod={pod} columns={drawn.has(pod) ? series[pod.name] : undefined} theme={theme} now={now} />)}</div>
    </section>
  );
}

function PodCard({ pod, columns, theme, now }: { pod: Pod; columns: Columns | undefined; theme: string; now: number }) {
  const [open, show] = useState(false); // twenty executors' lines that nobody looks at cost a browser seconds
  const bad = pod.phase === "Failed" || pod.reason === "OOMKilled";
  const reason = pod.reason === "OOMKilled" ? "killed: out of memory" : pod.reason;
  return (
    <article class="pod" aria-label={pod.name}>
      <div class="row">
        <b>{pod.role === "driver" ? "Driver" : `Executor ${pod.executor}`}</b>
        <Status tone={bad ? "bad" : pod.phase === "Pending" ? "wait" : "ok"}>
          {reason && pod.phase !== "Running" ? reason : pod.phase.toLowerCase()}
        </Status>
      </div>
      <p class="quiet small">
        {pod.name} {pod.node && `on ${pod.node}`} {pod.started != null && `, ${span((pod.ended ?? now) - pod.started)}`}
      </p>
      {pod.message && <p class="small">{pod.message}</p>}
      <p class="small">
        {cores(pod.now?.cpu)} of {cores(pod.bounds.cpu_request)} cores, {bytes(pod.now?.memory)} of {bytes(pod.bounds.memory_limit)}
        {pod.now?.gc != null && `, ${percent(pod.now.gc)} of the time in garbage collection`}
        {pod.now?.disk != null && `, ${bytes(pod.now.disk)} on disk`}
        {pod.now && (
          <>
            {", "}
            <time class="quiet" dateTime={new Date(pod.now.at * 1000).toISOString()}>
              measured {ago(pod.now.at, now)}
            </time>
          </>
        )}
      </p>
      {peaks(pod.now) && <p class="small">At most: {peaks(pod.now)}</p>}
      {at(columns).length > 1 && (
        <>
          <Chart title="CPU" height={84} theme={theme} at={at(columns)} say={cores} lines={[line("used", column(columns, "cpu"), "a"), line("limit", level(columns, pod.bounds.cpu_limit), "limit")]} />
          <Chart binary title="Memory" height={84} theme={theme} at={at(columns)} say={bytes} lines={[line("working set", column(columns, "memory"), "a"), line("limit", level(columns, pod.bounds.memory_limit), "limit")]} />
          <details onToggle={(e) => show(e.currentTarget.open)}>
            <summary>Garbage collection, shuffle, disk</summary>
            {open && <Courses height={84} columns={columns} theme={theme} />}
          </details>
        </>
      )}
    </article>
  );
}
