import { expect, test } from "vitest";
import { app, figures } from "./made";
import { change, extended, spoken, thinned } from "./series";
import type { Application } from "./types";

test("a snapshot adds a point once, and keeps columns of one length", () => {
  const pod = { name: "driver", now: figures(20) } as Application["pods"][number];
  const first = extended({ total: { at: [10], cpu: [0.1] } }, app({ now: figures(20), pods: [pod] }));
  expect(first.total?.at).toEqual([10, 20]);
  expect(first.total?.cpu).toEqual([0.1, 0.5]);
  expect(first.total?.memory).toEqual([null, 1]);
  expect(first.driver?.at).toEqual([20]);
  expect(extended(first, app({ now: figures(20), pods: [pod] }))).toBe(first);
});

test("a level's change is that of a minute, since it is measured about as often", () => {
  const at = [0, 10, 20, 60, 70, 80];
  expect(change(at, [0, 0, 0, 600, 600, 480])).toEqual([null, null, null, 10, 10, 8]);
  expect(change(at, [600, null, 600, 0, 0, null])).toEqual([null, null, null, -10, null, null]);
  expect([change([], []), change(at, [])]).toEqual([[], Array(6).fill(null)]);
});

test("a chart is told in words", () => {
  expect(spoken("CPU", [null, 1, 3, 2], String)).toBe("CPU: now 2, between 1 and 3");
  expect(spoken("CPU", [null], String)).toBe("CPU: no figures yet");
});

test("a page that stays open keeps a course as short as the server does, of the same points", () => {
  const at = Array.from({ length: 5000 }, (_, i) => 1.7e9 + 10 * i + (i % 7) / 10);
  let series = {};
  for (const [i, moment] of at.entries()) series = extended(series, app({ now: figures(moment, i % 13), pods: [{ name: "p", now: figures(moment, i % 13) } as Application["pods"][number]] }));
  const { total, p } = series as Record<string, Record<string, number[]>>;
  expect(total?.at?.length).toBeLessThanOrEqual(1440);
  expect([p?.at?.[0], p?.at?.at(-1)]).toEqual([at[0], at.at(-1)]);
  // By include/lake/metrics/series.py: how many, and the sums of their moments and of one column.
  const sum = (values: number[] = []) => values.reduce((a, b) => a + b, 0);
  expect([p?.at?.length, Math.round(sum(p?.at?.map((t) => t - 1.7e9))), sum(p?.cpu)]).toEqual([461, 17775737, 2800]);
  expect(new Set(Object.values(p ?? {}).map((column) => column.length))).toEqual(new Set([461]));
});

test("what is thinned keeps its latest quarter, and columns of one length", () => {
  const at = Array.from({ length: 100 }, (_, i) => 10 * i);
  const found = thinned({ at, cpu: at });
  expect(found.at?.slice(-25)).toEqual(at.slice(-25));
  expect(found.cpu).toEqual(found.at);
  expect(found.at?.length).toBeLessThanOrEqual(76);
});

test("pods that the server has forgotten are not kept", () => {
  const now = figures(20);
  expect(Object.keys(extended({ total: { at: [20] }, gone: { at: [10] } }, app({ now })))).toEqual(["total"]);
});

test("a chart of very many points is told in words too", () => {
  expect(spoken("CPU", Array.from({ length: 300_000 }, (_, i) => i), String)).toBe("CPU: now 299999, between 0 and 299999");
});
