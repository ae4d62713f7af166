// Courses of figures, as the server sends them and as snapshots go on with them.
import { newest } from "./model";
import type { Application, Columns, Figures, Series } from "./types";

// As the server's: include/lake/metrics/series.py and applications.py.
const OF_A_POD = 512;
const OF_ALL = 1440;

/**
 * Add a snapshot's newest points to series that were fetched before. The same moment twice is one point; pods that the server knows no more go,
 * and a pod that has another's name, as a stream's next driver has since `before`, begins anew.
 */
export function extended(series: Series, app: Application, before: Application | null = null): Series {
  const uids = new Map(before?.pods.map((p) => [p.name, p.uid]));
  const told: [string, Figures | null, number, boolean][] = [
    ["total", app.now, OF_ALL, false],
    ...newest(app.pods).map((p): [string, Figures | null, number, boolean] => [p.name, p.now, OF_A_POD, uids.has(p.name) && uids.get(p.name) !== p.uid]),
  ];
  const next: Series = {};
  for (const [key, now, most, another] of told) {
    const old = another ? undefined : series[key];
    const grown = now && now.at > (old?.at?.at(-1) ?? 0) ? appended(old ?? { at: [] }, now, most) : old;
    if (grown) next[key] = grown;
  }
  const same = Object.keys(series).length === Object.keys(next).length && Object.entries(next).every(([key, columns]) => series[key] === columns);
  return same ? series : next;
}

/** What the server tells, and before it what was seen earlier than that begins: a server that was started anew has forgotten it. */
export function joined(seen: Series, told: Series): Series {
  const after = ([key, columns]: [string, Columns]): [string, Columns] => {
    const begins = columns.at?.[0] ?? Infinity;
    const old = seen[key] ?? {};
    const many = (old.at ?? []).filter((t) => t! < begins).length;
    const whole = (name: string) => [...(old[name]?.slice(0, many) ?? new Array(many).fill(null)), ...(columns[name] ?? [])];
    return [key, many ? Object.fromEntries(Object.keys(columns).map((name) => [name, whole(name)])) : columns];
  };
  return Object.fromEntries(Object.entries(told).map(after));
}

function appended(given: Columns, now: Figures, most: number): Columns {
  const old = (given.at?.length ?? 0) < most ? given : thinned(given);
  const columns: Columns = {};
  for (const [name, value] of Object.entries(now)) columns[name] = [...(old[name] ?? new Array(old.at?.length ?? 0).fill(null)), value as number | null];
  return columns;
}

/** Fewer points of the same course, by the server's own rule: the latest quarter stays, of the rest one in each stretch of time. */
export function thinned(columns: Columns): Columns {
  const at = (columns.at ?? []) as number[];
  const first = at[0] ?? 0;
  const old = at.length - Math.floor(at.length / 4);
  const width = 2 ** Math.ceil(Math.log2(((at[old] ?? first) - first) / Math.floor(at.length / 2)));
  const bucket = (i: number) => Math.floor(((at[i] ?? 0) - first) / width);
  const kept = at.map((_, i) => i).filter((i) => i === 0 || i >= old || bucket(i) !== bucket(i - 1));
  return Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, kept.map((i) => values[i] ?? null)]));
}

/** How fast a level changed, a second, over at least so many seconds: the kubelet measures a disk about once a minute, and tells that more often. */
export function change(at: number[], values: (number | null)[], seconds = 60): (number | null)[] {
  let from = -1;
  return at.map((moment, i) => {
    while (moment - (at[from + 1] ?? moment) >= seconds) from += 1;
    const [before, now] = [values[from], values[i]];
    return before == null || now == null ? null : (now - before) / (moment - (at[from] ?? 0));
  });
}

/** A text for who does not see the chart. */
export function spoken(label: string, values: (number | null)[], say: (v: number | null) => string): string {
  const known = values.filter((v): v is number => v != null);
  if (!known.length) return `${label}: no figures yet`;
  // Not Math.min(...known): a call takes no more arguments than its stack holds.
  const [least, most] = known.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
  return `${label}: now ${say(known.at(-1) ?? null)}, between ${say(least)} and ${say(most)}`;
}
