// The list of Spark jobs: those that run, those that ended a while ago, and those that the lake keeps.
import { useEffect, useRef, useState } from "preact/hooks";
import { asking, type Asking } from "./again";
import { useAway } from "./away";
import { ago, bytes, cores, count, moment, percent, rate } from "./format";
import { airflow, base, json } from "./live";
import { age, ended, lasted, matches, phase, sorted, use, type Filter } from "./model";
import { Meter, Notice, Out, Status } from "./parts";
import { address, earlier, idOf } from "./route";
import type { Application, Origin, PastJob, Snapshot } from "./types";

const MINUTE = 60_000;

export const runAddress = (o: Origin): string => `${airflow}dags/${o.dag_id}/runs/${encodeURIComponent(o.run_id)}/tasks/${encodeURIComponent(o.task_id)}`;

/** The SparkApplication itself, as text. */
export const manifestAddress = (job: { namespace: string; name: string }): string => `${base}api/applications/${job.namespace}/${job.name}/manifest`;

export function JobsView({ snapshot, now, filter }: { snapshot: Snapshot | null; now: number; filter: Filter | null }) {
  const past = usePast(snapshot);
  if (!snapshot) return <p class="empty">Asking the cluster…</p>;
  const here = sorted(snapshot.applications.filter((a) => matches(a.origin, filter)));
  const before = earlier(past.jobs.filter((j) => matches(j.origin, filter)), here);
  const running = here.filter((a) => a.phase === "running").length;
  return (
    <>
      <header class="head">
        <div>
          <h1>{filter ? `Spark jobs of ${filter.dag_id}` : "Spark jobs"}</h1>
          <p class="quiet">
            {running} at work. Looked {ago(snapshot.at, now)}, every {snapshot.interval.toFixed(0)} s; {snapshot.calls} requests in {snapshot.took.toFixed(2)} s.
          </p>
        </div>
      </header>
      {here.length > 0 && (
        <table class="jobs">
          <thead>
            <tr>
              <th scope="col">Job</th>
              <th scope="col">State</th>
              <th scope="col">CPU</th>
              <th scope="col">Memory</th>
              <th scope="col" class="n">Tasks</th>
              <th scope="col" class="n">Rows</th>
            </tr>
          </thead>
          <tbody>{here.map((app) => <Row key={app.uid} app={app} now={now} />)}</tbody>
        </table>
      )}
      {here.length === 0 && before.length === 0 && (
        <p class="empty">
          No Spark job {filter ? "of this run is known here" : "has run yet"}. Start one: <Out href={`${airflow}dags/lake_spark`}>lake_spark</Out>
          {", "}or <code>./lake stream start --simulate</code>.
        </p>
      )}
      {past.problem && <Notice>{past.problem}</Notice>}
      {before.length > 0 && <Earlier jobs={before} now={now} />}
    </>
  );
}

function Row({ app, now }: { app: Application; now: number }) {
  const { tone, word } = phase(app);
  const executors = app.pods.filter((p) => p.role === "executor" && p.phase === "Running").length;
  const old = age(app.now, now);
  const query = app.queries[0];
  const over = app.phase === "done" || app.phase === "failed";
  return (
    <tr>
      <th scope="row">
        <a href={address(app)}>{app.name}</a>
        <div class="quiet">
          {app.stream ? "stream, " : ""}
          {app.main.split("/").pop()}
          {app.origin && (
            <>
              {", "}
              <Out href={runAddress(app.origin)}>{app.origin.dag_id}</Out>
            </>
          )}
        </div>
      </th>
      <td>
        <Status tone={tone}>{word}</Status>
        <div class="quiet">
          {lasted(app, now)}
          {executors > 0 && `, ${executors} executor${executors > 1 ? "s" : ""}`}
          {app.churn.lost > 0 && `, ${app.churn.lost} lost`}
        </div>
      </td>
      <td data-label="CPU" class={old ? "stale" : ""}>
        {!over && (
          <Meter used={app.now?.cpu} of={app.bounds.cpu_limit} mark={app.bounds.cpu_request} label={use(app)}>
            <span>
              {cores(app.now?.cpu)} of {cores(app.bounds.cpu_request)}
            </span>
            {old && <span class="quiet">{ago(now - old, now)}</span>}
          </Meter>
        )}
        {over && <Used share={app.waste.core_seconds_used / app.waste.core_seconds_requested} />}
      </td>
      <td data-label="Memory" class={old ? "stale" : ""}>
        {!over && (
          <Meter used={app.now?.memory} of={app.bounds.memory_limit} tone={tight(app) ? "warn" : "ok"} label={use(app)}>
            <span>
              {bytes(app.now?.memory)} of {bytes(app.bounds.memory_limit)}
            </span>
          </Meter>
        )}
        {over && <Used share={app.waste.byte_seconds_used / app.waste.byte_seconds_requested} />}
      </td>
      <td data-label="Tasks" class="n">
        {count(app.totals.done)} done
        <div class="quiet">
          {count(app.totals.running)} running
          {app.totals.failed > 0 && `, ${count(app.totals.failed)} failed`}
        </div>
      </td>
      <td data-label="Rows" class="n">
        {query ? rate(query.processing_rate) : count(app.totals.output_rows || app.totals.input_rows)}
        <div class="quiet">{query ? (query.behind == null ? "" : `${count(query.behind)} behind`) : bytes(app.totals.output_bytes || app.totals.input_bytes)}</div>
      </td>
    </tr>
  );
}

function Used({ share }: { share: number }) {
  return <span class="quiet">{Number.isFinite(share) ? `${percent(share)} used` : "not measured"}</span>;
}

export const tight = (app: Application): boolean => app.pods.some((p) => p.now?.memory != null && p.bounds.memory_limit != null && p.now.memory > 0.9 * p.bounds.memory_limit);

function Earlier({ jobs, now }: { jobs: PastJob[]; now: number }) {
  const [chosen, choose] = useState<string[]>([]);
  const flip = (key: string) => choose(chosen.includes(key) ? chosen.filter((k) => k !== key) : [...chosen.slice(-1), key]);
  return (
    <section aria-labelledby="earlier">
      <div class="row wide">
        <h2 id="earlier">Earlier jobs, kept in the lake</h2>
        {chosen.length === 2 ? <a class="button" href={`#/compare/${chosen.join("/")}`}>Compare the two</a> : <span class="quiet">Choose two to compare them</span>}
      </div>
      <table class="jobs">
        <thead>
          <tr>
            <th scope="col">Job</th>
            <th scope="col">State</th>
            <th scope="col">Started</th>
            <th scope="col" class="n">CPU used</th>
            <th scope="col" class="n">Memory used</th>
            <th scope="col" class="n">Rows</th>
          </tr>
        </thead>
        <tbody>
          {jobs.map((job) => {
            const key = idOf(job);
            const { tone, word } = phase(job);
            return (
              <tr key={key}>
                <th scope="row">
                  <label>
                    <input type="checkbox" checked={chosen.includes(key)} onChange={() => flip(key)} aria-label={`Compare ${job.name}, started ${moment(job.started)}`} /> <a href={address(job)}>{job.name}</a>
                  </label>
                  <div class="quiet">{job.main.split("/").pop()}</div>
                </th>
                <td>
                  <Status tone={tone}>{word}</Status>
                  <div class="quiet">{lasted(job, now)}</div>
                </td>
                <td data-label="Started">{moment(job.started)}</td>
                <td data-label="CPU used" class="n">{share(job.waste.core_seconds_used, job.waste.core_seconds_requested)}</td>
                <td data-label="Memory used" class="n">{share(job.waste.byte_seconds_used, job.waste.byte_seconds_requested)}</td>
                <td data-label="Rows" class="n">{count(job.totals.output_rows || job.totals.input_rows)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </section>
  );
}

const share = (used: number, asked: number): string => (asked ? percent(used / asked) : "–");

/** The jobs that the lake keeps, as of a minute ago at most, or of a few seconds when one has just ended. */
function usePast(snapshot: Snapshot | null): { jobs: PastJob[]; problem: string } {
  const [found, set] = useState<{ jobs: PastJob[]; problem: string }>({ jobs: [], problem: "" });
  const past = useRef<Asking | null>(null);
  const before = useRef<Application[]>([]);
  const away = useAway();
  useEffect(() => {
    if (away) return;
    const failed = (error: Error) => set((old) => ({ ...old, problem: error.message }));
    past.current = asking(() => json<PastJob[]>("api/past"), (jobs) => set({ jobs, problem: "" }), failed, MINUTE);
    return past.current.stop;
  }, [away]);
  useEffect(() => {
    const now = snapshot?.applications ?? [];
    if (ended(before.current, now)) past.current?.soon();
    before.current = now;
  }, [snapshot]);
  return found;
}
