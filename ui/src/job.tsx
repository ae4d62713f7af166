// One Spark job, live or as the lake keeps it.
import { useEffect, useState } from "preact/hooks";
import { Chart } from "./chart";
import { Courses } from "./courses";
import { at, column, level, line, some } from "./columns";
import { Facts } from "./facts";
import { ago, byteRate, bytes, cores, count, moment, rate, span } from "./format";
import { useJob } from "./known";
import { Log } from "./log";
import { age, enough, lasted, phase, unread, wasted } from "./model";
import { Notice, Status } from "./parts";
import { Pods } from "./pods";
import type { Which } from "./route";
import type { Application, Query, Snapshot } from "./types";

interface JobProps {
  snapshot: Snapshot | null;
  which: Which;
  now: number;
  theme: string;
  console: string; // the address of MinIO's, empty when not known
}

export function JobView({ snapshot, which, now, theme, console }: JobProps) {
  const { app, here, series, problem } = useJob(snapshot, which);
  if (!app) return <p class="empty">{problem || "Looking for the job…"}</p>;
  const { tone, word } = phase(app);
  const old = app.phase === "running" ? age(app.now, now) : null;
  const total = series.total;
  return (
    <>
      <header class="head">
        <div>
          <p class="quiet">
            <a href="#/jobs">Spark jobs</a> / {app.namespace}
          </p>
          <h1>{app.name}</h1>
          <p>
            <Status tone={tone}>{word}</Status>{" "}
            <span class="quiet">
              {moment(app.started)}, {lasted(app, now)}
              {app.churn.lost > 0 && `, ${app.churn.lost} of ${app.churn.started} executors lost`}
            </span>
          </p>
        </div>
        <Facts app={app} here={here} console={console} />
      </header>
      {app.error && <Notice tone="bad">{app.error}</Notice>}
      {app.churn.out_of_memory > 0 && (
        <Notice tone="bad">
          {app.churn.out_of_memory} {app.churn.out_of_memory === 1 ? "pod was" : "pods were"} killed for want of memory, at {app.churn.out_of_memory === 1 ? "its" : "their"} limit.
          Raise the job's memory, or give it smaller partitions.
        </Notice>
      )}
      {app.problem && <Notice>{app.problem}</Notice>}
      {problem && <Notice>{unread(problem)}</Notice>}
      {old && <Notice tone="wait" beside={`Measured ${span(old)} ago.`}>The newest figures are old.</Notice>}
      {app.queries.length > 0 && <Queries queries={app.queries} at={snapshot?.at ?? 0} theme={theme} />}
      {app.queries.length > 0 && <h2>What it uses</h2>}
      <section class={old ? "charts stale" : "charts"} aria-label="Use over time">
        <Chart title="CPU, cores" theme={theme} at={at(total)} say={cores} lines={[line("used", column(total, "cpu"), "a"), line("asked for", level(total, app.bounds.cpu_request), "request"), line("limit", level(total, app.bounds.cpu_limit), "limit")]} />
        <Chart binary title="Memory" theme={theme} at={at(total)} say={bytes} lines={[line("working set", column(total, "memory"), "a"), ...(some(column(total, "heap")) ? [line("heap, peak", column(total, "heap"), "b")] : []), line("limit", level(total, app.bounds.memory_limit), "limit")]} />
        <Chart title="Network" theme={theme} at={at(total)} say={byteRate} lines={[line("received", column(total, "received"), "a"), line("sent", column(total, "sent"), "b")]} />
        <Chart title="Tasks running" theme={theme} at={at(total)} say={count} lines={[line("tasks", column(total, "tasks"), "a")]} />
        <Courses columns={total} theme={theme} />
      </section>
      <section aria-labelledby="waste">
        <h2 id="waste">What did it waste?</h2>
        <p>{wasted(app)}</p>
        {enough(app).length > 0 && <p>
            {app.churn.out_of_memory > 0 ? "Try this request, a pod" : "This request would have been enough, a pod"}: {enough(app).join("; ")}.
          </p>}
      </section>
      {app.stages.length > 0 && <Stages app={app} />}
      <Pods app={app} series={series} theme={theme} now={now} />
      {app.events.length > 0 && (
        <section aria-labelledby="events">
          <h2 id="events">Warnings of the cluster</h2>
          <ul class="plain">
            {app.events.map((e) => (
              <li key={`${e.at}${e.subject}${e.reason}`}>
                <span class="quiet">{ago(e.at, now)}</span> <b>{e.reason}</b> {e.subject}: {e.message}
              </li>
            ))}
          </ul>
        </section>
      )}
      {here && (app.phase !== "done" || app.pods.length > 0) && <Log app={app} />}
    </>
  );
}

/** What was seen of the queries since the page was opened: the server keeps no course of them. */
function useCourse(queries: Query[], moment: number): { at: number[]; of: Record<string, Record<"in" | "out" | "batch" | "behind", (number | null)[]>> } {
  const [course, set] = useState<ReturnType<typeof useCourse>>({ at: [], of: {} });
  useEffect(() => {
    set((old) => {
      if ((old.at.at(-1) ?? 0) >= moment) return old;
      const next: typeof old = { at: [...old.at, moment].slice(-1800), of: {} };
      for (const q of queries) {
        const seen = old.of[q.name];
        const put = (key: "in" | "out" | "batch" | "behind", value: number | null) => [...(seen?.[key] ?? new Array(old.at.length).fill(null)), value].slice(-1800);
        next.of[q.name] = { in: put("in", q.input_rate), out: put("out", q.processing_rate), batch: put("batch", q.batch_seconds), behind: put("behind", q.behind) };
      }
      return next;
    });
  }, [moment]);
  return course;
}

function Queries({ queries, at: moment, theme }: { queries: Query[]; at: number; theme: string }) {
  const course = useCourse(queries, moment);
  return (
    <section aria-labelledby="queries">
      <h2 id="queries">Stream</h2>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th scope="col">Query</th>
              <th scope="col" class="n">Comes in</th>
              <th scope="col" class="n">Processed</th>
              <th scope="col" class="n">A batch takes</th>
              <th scope="col" class="n">Behind Kafka</th>
              <th scope="col" class="n">Watermark behind</th>
            </tr>
          </thead>
          <tbody>
            {queries.map((q) => (
              <tr key={q.name}>
                <th scope="row">{q.name}</th>
                <td class="n">{rate(q.input_rate)}</td>
                <td class="n">{rate(q.processing_rate)}</td>
                <td class="n">{span(q.batch_seconds)}</td>
                <td class="n">{count(q.behind)}</td>
                <td class="n">{span(q.watermark_delay)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <div class="charts below">
        {Object.entries(course.of).map(([name, seen]) => (
          <Chart key={name} title={`${name}, rows a second`} theme={theme} at={course.at} say={rate} lines={[line("come in", seen.in, "a"), line("processed", seen.out, "b")]} />
        ))}
        {Object.entries(course.of).map(([name, seen]) => some(seen.behind) && (
          <Chart key={`${name}-behind`} height={90} title={`${name}, records behind Kafka`} theme={theme} at={course.at} say={count} lines={[line("behind", seen.behind, "a")]} />
        ))}
        {Object.entries(course.of).map(([name, seen]) => (
          <Chart key={`${name}-batch`} height={90} title={`${name}, seconds a batch`} theme={theme} at={course.at} say={span} lines={[line("a batch", seen.batch, "a")]} />
        ))}
      </div>
    </section>
  );
}

function Stages({ app }: { app: Application }) {
  return (
    <section aria-labelledby="stages">
      <h2 id="stages">Stages</h2>
      <ul class="stages">
        {app.stages.map((s) => (
          <li key={`${s.id}.${s.attempt}`}>
            <div class="row">
              <span class="name">
                {s.id}
                {s.attempt > 0 && `, attempt ${s.attempt}`} <span class="quiet">{s.name}</span>
              </span>
              <span class="quiet">
                {s.status}, {count(s.done)} of {count(s.tasks)}
                {s.failed > 0 && `, ${s.failed} failed`}
              </span>
            </div>
            <progress max={s.tasks || 1} value={s.done} aria-label={`Stage ${s.id}: ${s.done} of ${s.tasks} tasks`} />
          </li>
        ))}
      </ul>
    </section>
  );
}
