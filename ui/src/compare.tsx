// Two Spark jobs side by side, each from its start.
import { useMemo } from "preact/hooks";
import { Chart } from "./chart";
import { at, column, line } from "./columns";
import { bytes, cores, count, span } from "./format";
import { useJob } from "./known";
import { lasted, named, unread } from "./model";
import { Notice } from "./parts";
import type { Which } from "./route";
import type { Application, Columns, Snapshot } from "./types";

export function CompareView({ snapshot, first, second, theme }: { snapshot: Snapshot | null; first: Which; second: Which; theme: string }) {
  const a = useJob(snapshot, first);
  const b = useJob(snapshot, second);
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
  const [one = "", other = ""] = named(a.app, b.app);
  const lines = (data: readonly (number | null)[][]) => [line(one, data[1] ?? [], "a"), line(other, data[2] ?? [], "b")];
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
      {[a, b].map(({ problem }, i) => problem && <Notice key={i}>{unread(problem)}</Notice>)}
      <section class="charts" aria-label="Use over time">
        <Chart relative title="CPU, cores" theme={theme} at={joined[0][0] as number[]} say={cores} lines={lines(joined[0])} />
        <Chart relative binary title="Memory" theme={theme} at={joined[1][0] as number[]} say={bytes} lines={lines(joined[1])} />
      </section>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <td />
              <th scope="col">{one}</th>
              <th scope="col">{other}</th>
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
