// One Spark job, live or as the lake keeps it; and two side by side.
import { useEffect, useMemo, useState } from "preact/hooks";
import { Chart, type Line } from "./chart";
import { ago, byteRate, bytes, cores, count, moment, percent, rate, span } from "./format";
import { json, text } from "./live";
import { age, enough, extended, lasted, of, phase, wasted } from "./model";
import { Copy, Notice, Out, Status } from "./parts";
import { runAddress } from "./jobs";
import type { Application, Columns, Pod, Query, Series, Snapshot } from "./types";

interface Known {
  app: Application | null;
  series: Series;
  problem: string;
}

const at = (c: Columns | undefined): number[] => (c?.at ?? []) as number[];
const column = (c: Columns | undefined, name: string): (number | null)[] => c?.[name] ?? [];
const level = (c: Columns | undefined, value: number | null): (number | null)[] => at(c).map(() => value);
const some = (values: (number | null)[]): boolean => values.some((v) => v != null);

/** A job's application and its course: from the snapshots while it is there, else from the lake. */
function useJob(snapshot: Snapshot | null, namespace: string, name: string): Known {
  const here = of(snapshot, namespace, name);
  const [series, setSeries] = useState<Series>({});
  const [kept, setKept] = useState<Application | null>(null);
  const [problem, setProblem] = useState("");
  const there = here != null;
  useEffect(() => {
    setSeries({});
    setProblem("");
    if (!snapshot) return;
    if (there) json<Series>(`api/applications/${namespace}/${name}/series`).then(setSeries, () => setSeries({}));
    else
      json<{ application: Application; series: Series }>(`api/past/${namespace}/${name}`).then(
        (found) => {
          setKept(found.application);
          setSeries(found.series);
        },
        (error: Error) => setProblem(error.message),
      );
  }, [namespace, name, there, snapshot != null]);
  useEffect(() => {
    if (here) setSeries((old) => (Object.keys(old).length ? extended(old, here) : old));
  }, [here]);
  return { app: here ?? kept, series, problem };
}

export function JobView({ snapshot, namespace, name, now, theme }: { snapshot: Snapshot | null; namespace: string; name: string; now: number; theme: string }) {
  const { app, series, problem } = useJob(snapshot, namespace, name);
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
        <Facts app={app} />
      </header>
      {app.error && <Notice tone="bad">{app.error}</Notice>}
      {app.churn.out_of_memory > 0 && (
        <Notice tone="bad">
          {app.churn.out_of_memory} {app.churn.out_of_memory === 1 ? "pod was" : "pods were"} killed for want of memory, at {app.churn.out_of_memory === 1 ? "its" : "their"} limit.
          Raise the job's memory, or give it smaller partitions.
        </Notice>
      )}
      {app.problem && <Notice>{app.problem}</Notice>}
      {old && <Notice tone="wait">The newest figures are {span(old)} old.</Notice>}
      <section class={old ? "charts stale" : "charts"} aria-label="Use over time">
        <Chart title="CPU, cores" theme={theme} at={at(total)} say={cores} lines={[line("used", column(total, "cpu"), "a"), line("asked for", level(total, app.bounds.cpu_request), "request"), line("limit", level(total, app.bounds.cpu_limit), "limit")]} />
        <Chart binary title="Memory" theme={theme} at={at(total)} say={bytes} lines={[line("working set", column(total, "memory"), "a"), ...(some(column(total, "heap")) ? [line("heap, peak", column(total, "heap"), "b")] : []), line("limit", level(total, app.bounds.memory_limit), "limit")]} />
        <Chart title="Network" theme={theme} at={at(total)} say={byteRate} lines={[line("received", column(total, "received"), "a"), line("sent", column(total, "sent"), "b")]} />
        <Chart title="Tasks running" theme={theme} at={at(total)} say={count} lines={[line("tasks", column(total, "tasks"), "a")]} />
      </section>
      {app.queries.length > 0 && <Queries queries={app.queries} at={snapshot?.at ?? 0} theme={theme} />}
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
      {app.phase !== "done" && of(snapshot, namespace, name) && <Log app={app} />}
      {app.phase === "done" && of(snapshot, namespace, name) && app.pods.length > 0 && <Log app={app} />}
    </>
  );
}

const line = (label: string, values: (number | null)[], colour: Line["colour"]): Line => ({ label, values, colour });

function Facts({ app }: { app: Application }) {
  const t = app.totals;
  return (
    <dl class="facts">
      <dt>Tasks</dt>
      <dd>
        {count(t.done)} done, {t.running} running, {t.pending} waiting{t.failed > 0 && `, ${count(t.failed)} failed`}
      </dd>
      <dt>Read</dt>
      <dd>
        {count(t.input_rows)} rows, {bytes(t.input_bytes)}
      </dd>
      <dt>Written</dt>
      <dd>
        {count(t.output_rows)} rows, {bytes(t.output_bytes)}
      </dd>
      <dt>Shuffled</dt>
      <dd>{bytes(t.shuffle_written)}</dd>
      {app.paths.length > 0 && (
        <>
          <dt>In the lake</dt>
          <dd>{app.paths.join(", ")}</dd>
        </>
      )}
      {app.origin && (
        <>
          <dt>Airflow</dt>
          <dd>
            <Out href={runAddress(app.origin)}>
              {app.origin.dag_id}, {app.origin.task_id}, try {app.origin.try_number}
            </Out>
          </dd>
        </>
      )}
    </dl>
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

function Pods({ app, series, theme, now }: { app: Application; series: Series; theme: string; now: number }) {
  const pods = [...app.pods].sort((a, b) => Number(a.role !== "driver") - Number(b.role !== "driver") || a.executor.localeCompare(b.executor, "en", { numeric: true }));
  return (
    <section aria-labelledby="pods">
      <h2 id="pods">Driver and executors</h2>
      <div class="pods">{pods.map((pod) => <PodCard key={pod.name} pod={pod} columns={series[pod.name]} theme={theme} now={now} />)}</div>
    </section>
  );
}

function PodCard({ pod, columns, theme, now }: { pod: Pod; columns: Columns | undefined; theme: string; now: number }) {
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
      </p>
      {at(columns).length > 1 && (
        <>
          <Chart title="CPU" height={84} theme={theme} at={at(columns)} say={cores} lines={[line("used", column(columns, "cpu"), "a"), line("limit", level(columns, pod.bounds.cpu_limit), "limit")]} />
          <Chart binary title="Memory" height={84} theme={theme} at={at(columns)} say={bytes} lines={[line("working set", column(columns, "memory"), "a"), line("limit", level(columns, pod.bounds.memory_limit), "limit")]} />
        </>
      )}
    </article>
  );
}

function Log({ app }: { app: Application }) {
  const [pod, choose] = useState("");
  const [said, say] = useState("");
  const [open, show] = useState(false);
  const chosen = pod || app.pods.find((p) => p.role === "driver")?.name || "";
  const read = () => text(`api/applications/${app.namespace}/${app.name}/log?lines=200&pod=${encodeURIComponent(chosen)}`).then(say, (error: Error) => say(error.message));
  useEffect(() => {
    if (open) void read();
  }, [open, chosen]);
  return (
    <section aria-labelledby="log">
      <h2 id="log">Log</h2>
      <div class="row start">
        <label>
          Pod{" "}
          <select value={chosen} onChange={(e) => choose(e.currentTarget.value)}>
            {app.pods.map((p) => (
              <option key={p.name} value={p.name}>
                {p.role === "driver" ? "driver" : `executor ${p.executor}`}
              </option>
            ))}
          </select>
        </label>
        <button type="button" onClick={() => (open ? void read() : show(true))}>
          {open ? "Read again" : "Show the last 200 lines"}
        </button>
      </div>
      {open && (
        <pre tabIndex={0} aria-label={`The last lines of the log of ${chosen}`}>
          {said}
        </pre>
      )}
      <Copy text={`kubectl -n ${app.namespace} describe sparkapplication ${app.name}`} />
    </section>
  );
}

export function CompareView({ snapshot, first, second, theme }: { snapshot: Snapshot | null; first: [string, string]; second: [string, string]; theme: string }) {
  const a = useJob(snapshot, ...first);
  const b = useJob(snapshot, ...second);
  const joined = useMemo(() => [joint(a.series.total, b.series.total, "cpu"), joint(a.series.total, b.series.total, "memory")] as const, [a.series, b.series]);
  if (!a.app || !b.app) return <p class="empty">{a.problem || b.problem || "Reading the two from the lake…"}</p>;
  const rows: [string, (x: Application) => string][] = [
    ["Lasted", (x) => lasted(x, x.ended ?? 0)],
    ["CPU used", (x) => `${span(x.waste.core_seconds_used)} of ${span(x.waste.core_seconds_requested)}`],
    ["Peak memory of a pod", (x) => bytes(x.waste.peak_memory)],
    ["Rows written", (x) => count(x.totals.output_rows)],
    ["Shuffled", (x) => bytes(x.totals.shuffle_written)],
    ["Tasks failed", (x) => count(x.totals.failed)],
  ];
  const lines = (data: readonly (number | null)[][]) => [line(first[1], data[1] ?? [], "a"), line(second[1], data[2] ?? [], "b")];
  return (
    <>
      <header class="head">
        <div>
          <p class="quiet">
            <a href="#/jobs">Spark jobs</a>
          </p>
          <h1>Two jobs, each from its start</h1>
        </div>
      </header>
      <section class="charts" aria-label="Use over time">
        <Chart relative title="CPU, cores" theme={theme} at={joined[0][0] as number[]} say={cores} lines={lines(joined[0])} />
        <Chart relative binary title="Memory" theme={theme} at={joined[1][0] as number[]} say={bytes} lines={lines(joined[1])} />
      </section>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <td />
              <th scope="col">{first[1]}</th>
              <th scope="col">{second[1]}</th>
            </tr>
          </thead>
          <tbody>
            {rows.map(([label, say]) => (
              <tr key={label}>
                <th scope="row">{label}</th>
                <td>{a.app && say(a.app)}</td>
                <td>{b.app && say(b.app)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

function joint(a: Columns | undefined, b: Columns | undefined, name: string): (number | null)[][] {
  const since = (c: Columns | undefined) => at(c).map((t) => t - (at(c)[0] ?? 0));
  const [x, y] = [since(a), since(b)];
  const all = [...new Set([...x, ...y])].sort((p, q) => p - q);
  const spread = (own: number[], values: (number | null)[]) => {
    const known = new Map(own.map((t, i) => [t, values[i] ?? null]));
    return all.map((t) => known.get(t) ?? null);
  };
  return [all, spread(x, column(a, name)), spread(y, column(b, name))];
}
