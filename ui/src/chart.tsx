// Lines over time. uPlot draws; the words beneath say the same.
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { spoken } from "./series";

export interface Line {
  label: string;
  values: (number | null)[];
  colour: "a" | "b" | "c" | "limit" | "request";
}
interface ChartProps {
  title: string;
  at: number[]; // seconds since 1970, or since the beginning when `relative`
  lines: Line[];
  say: (value: number | null) => string;
  theme: string;
  height?: number;
  relative?: boolean;
  binary?: boolean; // ticks at powers of two, as memory is counted
}

const POWERS = Array.from({ length: 50 }, (_, n) => 2 ** n);
const clock = (at: number, seconds: boolean): string =>
  new Date(at * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", ...(seconds ? { second: "2-digit" } : {}) });
const DASHES: Partial<Record<Line["colour"], number[]>> = { limit: [6, 4], request: [2, 3] };

export function Chart({ title, at, lines: given, say, theme, height = 150, relative, binary }: ChartProps) {
  const lines = given.filter((l) => (l.colour !== "limit" && l.colour !== "request") || l.values.some((v) => v != null)); // no limit, no line
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const shape = lines.map((l) => l.label).join("|");
  const data = [at, ...lines.map((l) => l.values)] as uPlot.AlignedData;

  useEffect(() => {
    const node = place.current;
    if (!node) return;
    const style = getComputedStyle(document.documentElement);
    const ink = (name: string) => style.getPropertyValue(`--${name}`).trim();
    const axis = { stroke: ink("quiet"), grid: { stroke: ink("line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    const options: uPlot.Options = {
      width: node.clientWidth || 300,
      height,
      legend: { show: false },
      cursor: { y: false, points: { size: 6 } },
      scales: { x: { time: !relative }, y: { range: (_, __, max) => [0, max > 0 ? max * 1.1 : 1] } },
      axes: [
        { ...axis, space: 80, size: 24, gap: 6, values: (_, v, __, ___, step) => v.map((s) => (relative ? `${Math.round(s)} s` : clock(s, step < 60))) },
        { ...axis, size: 62, space: 26, ...(binary ? { incrs: POWERS } : {}), values: (_, ticks) => ticks.map((v) => say(v)) },
      ],
      series: [{}, ...lines.map((l) => ({ label: l.label, stroke: ink(`chart-${l.colour}`), width: l.colour === "limit" || l.colour === "request" ? 1 : 1.75, dash: DASHES[l.colour], points: { show: (u: uPlot) => (u.data[0]?.length ?? 0) < 3 }, spanGaps: true }))],
    };
    plot.current = new uPlot(options, data, node);
    const fit = new ResizeObserver(() => plot.current?.setSize({ width: node.clientWidth, height }));
    fit.observe(node);
    return () => {
      fit.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [theme, shape, height, relative]);

  useEffect(() => plot.current?.setData(data), [at, given]);

  const drawn = lines.filter((l) => l.colour !== "limit" && l.colour !== "request");
  return (
    <figure class="chart">
      <figcaption>
        <strong>{title}</strong>
        {lines.map((l) => (
          <span key={l.label} class={`key ${l.colour}`}>
            {l.label} <em>{say(l.values.findLast((v) => v != null) ?? null)}</em>
          </span>
        ))}
      </figcaption>
      <div ref={place} role="img" aria-label={drawn.map((l) => spoken(`${title}, ${l.label}`, l.values, say)).join(". ")} />
    </figure>
  );
}
