// A Spark job in a few words, with the ways to where else it is seen.
import { bytes, count } from "./format";
import { manifestAddress, runAddress } from "./jobs";
import { consoleAddress } from "./model";
import { Out } from "./parts";
import type { Application } from "./types";

/** What it is and did, and where else it is seen. `here`: whether the cluster still has it; `console`: MinIO's, empty when not known. */
export function Facts({ app, here, console }: { app: Application; here: boolean; console: string }) {
  const t = app.totals;
  return (
    <dl class="facts">
      <dt>Tasks</dt>
      <dd>
        {count(t.done)} done, {count(t.running)} running, {count(t.pending)} waiting{t.failed > 0 && `, ${count(t.failed)} failed`}
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
          <dd>
            {app.paths.map((path, i) => (
              <>
                {i > 0 && ", "}
                {console ? (
                  <Out apart href={consoleAddress(console, path)}>
                    {path}
                  </Out>
                ) : (
                  path
                )}
              </>
            ))}
          </dd>
        </>
      )}
      {here && (
        <>
          <dt>In the cluster</dt>
          <dd>
            <Out apart href={manifestAddress(app)}>
              SparkApplication {app.name}
            </Out>
          </dd>
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
