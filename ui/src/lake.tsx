// How the lake stands.
import { useState } from "preact/hooks";
import { ago, bytes, count, day, moment, percent, span } from "./format";
import { airflow } from "./live";
import { groups, nameOf, standing, verdict } from "./model";
import { Meter, Notice, Out, Status } from "./parts";
import type { Lake, Level, Resource } from "./types";

const DAG = "lake_governance";

export function LakeView({ lake, now }: { lake: Lake | null; now: number }) {
  if (!lake) return <p class="empty">Looking how the lake stands…</p>;
  const said = verdict(lake);
  return (
    <>
      <header class="head">
        <div>
          <h1 aria-live="polite">
            <Status tone={said.tone}>{said.text}</Status>
          </h1>
          <p class="quiet">
            {lake.name}
            {lake.checked != null && (
              <>
                , checked {ago(lake.checked, now)}
                {lake.run && (
                  <>
                    {" "}by <Out href={`${airflow}dags/${lake.run.dag_id}/runs/${encodeURIComponent(lake.run.run_id)}`}>{DAG}</Out>
                  </>
                )}
              </>
            )}
          </p>
        </div>
        <CheckNow />
      </header>
      {lake.problems.map((text) => (
        <Notice key={text}>{text}</Notice>
      ))}
      {lake.checked == null ? (
        <p class="empty">
          Nothing is known of the lake before its first check. Press <b>Check now</b>, or unpause the DAG {DAG}.
        </p>
      ) : (
        <>
          {lake.levels.length > 0 && (
            <section aria-labelledby="full">
              <h2 id="full">How full it is</h2>
              <div class="cards">{lake.levels.map((level) => <LevelCard key={level.name} level={level} />)}</div>
            </section>
          )}
          <section aria-labelledby="parts">
            <h2 id="parts">Its parts</h2>
            <div class="groups">
              {groups(lake.resources).map((group) => (
                <div class="group" key={group.title}>
                  <h3>{group.title}</h3>
                  <ul>{group.resources.map((r) => <Part key={r.id} resource={r} />)}</ul>
                </div>
              ))}
            </div>
          </section>
          <Buckets lake={lake} />
          <Keys lake={lake} now={now} />
        </>
      )}
    </>
  );
}

function LevelCard({ level }: { level: Level }) {
  const inodes = level.name === "inodes";
  const amount = (value: number | null) => (inodes ? count(value) : bytes(value));
  const tone = level.mark === "ok" ? "ok" : level.mark === "warn" ? "warn" : "bad";
  const full = level.full ? `full on ${day(level.full)} at ${amount(level.per_day)} a day` : level.note;
  const words = level.limit == null ? `${amount(level.used)}, without a limit` : `${amount(level.used)} of ${amount(level.limit)}`;
  return (
    <div class="card">
      <div class="row">
        <b>{level.name}</b>
        <Status tone={tone} sign={tone === "ok" ? undefined : "!"}>{level.share == null ? "no limit" : percent(level.share)}</Status>
      </div>
      <Meter used={level.used} of={level.limit} tone={tone} label={`${level.name}: ${words}`}>
        <span>{words}</span>
        {full && <span class="quiet">{full}</span>}
      </Meter>
    </div>
  );
}

function Part({ resource }: { resource: Resource }) {
  const { tone, word } = standing(resource.status);
  return (
    <li>
      <div class="row">
        <span class="name">{nameOf(resource.id)}</span>
        <Status tone={tone}>{word}</Status>
      </div>
      {resource.changes.map((c) => (
        <div class="change" key={c.field}>
          <span>{c.field}</span> <del>{c.before ?? "nothing"}</del> <span aria-hidden="true">→</span> <ins>{c.after ?? "nothing"}</ins>
        </div>
      ))}
      {resource.error && <div class="change error">{resource.error}</div>}
    </li>
  );
}

function Buckets({ lake }: { lake: Lake }) {
  if (!lake.buckets.length) return null;
  return (
    <section aria-labelledby="buckets">
      <h2 id="buckets">Objects and versions</h2>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th scope="col">Bucket</th>
              <th scope="col" class="n">Objects</th>
              <th scope="col" class="n">Size</th>
              <th scope="col" class="n">Old versions</th>
              <th scope="col" class="n">Their size</th>
              <th scope="col" class="n">Delete markers</th>
            </tr>
          </thead>
          <tbody>
            {lake.buckets.map((b) => (
              <tr key={b.name}>
                <th scope="row">{b.name}</th>
                <td class="n">{count(b.objects)}</td>
                <td class="n">{bytes(b.bytes)}</td>
                <td class="n">{count(b.noncurrent)}</td>
                <td class="n">{bytes(b.noncurrent_bytes)}</td>
                <td class="n">{count(b.delete_markers)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Keys({ lake, now }: { lake: Lake; now: number }) {
  if (!lake.keys.length) return null;
  return (
    <section aria-labelledby="keys">
      <h2 id="keys">Key pairs</h2>
      <ul class="plain">
        {lake.keys.map((k) => (
          <li key={k.name}>
            <b>{k.name}</b> {k.created == null ? "Its age is not known." : `made ${moment(k.created)}, ${span(now - k.created)} ago`}
          </li>
        ))}
      </ul>
    </section>
  );
}

function CheckNow() {
  const [said, say] = useState("");
  const check = async () => {
    say("Asking…");
    try {
      const answer = await fetch(`${airflow}api/v2/dags/${DAG}/dagRuns`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ logical_date: null, conf: {} }),
      });
      if (answer.ok) say("Started. It takes a minute.");
      else if (answer.status === 401) say("Your session has ended. Log in to Airflow.");
      else if (answer.status === 403) say(`You may not run ${DAG}. Ask whoever runs this Airflow.`);
      else say(`Airflow answered ${answer.status}. Start ${DAG} there.`);
    } catch {
      say("Airflow does not answer.");
    }
  };
  return (
    <div class="do">
      <button type="button" class="main" onClick={() => void check()}>
        Check now
      </button>
      <span role="status" class="quiet">
        {said}
      </span>
    </div>
  );
}
