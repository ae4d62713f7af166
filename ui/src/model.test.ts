import { expect, test } from "vitest";
import { age, extended, filterOf, groups, matches, nameOf, phase, sorted, spoken, verdict, wasted } from "./model";
import type { Application, Figures, Lake } from "./types";

const figures = (at: number, cpu: number | null = 0.5): Figures => ({ at, cpu, memory: 1, heap: null, off_heap: null, gc: null, received: null, sent: null, disk: null, shuffle: null, tasks: 1 });
const app = (more: Partial<Application>): Application =>
  ({ namespace: "n", name: "a", phase: "running", started: 0, ended: null, pods: [], now: null, churn: { started: 0, lost: 0, out_of_memory: 0 }, ...more }) as Application;
const lake = (more: Partial<Lake>): Lake => ({ name: "l", checked: 1, run: null, resources: [], levels: [], buckets: [], keys: [], problems: [], ...more });
const resource = (id: string, status = "ok") => ({ id, status, changes: [], error: null });

test("the verdict counts what is wrong, the worst first", () => {
  expect(verdict(lake({ checked: null })).text).toBe("Not checked yet");
  expect(verdict(lake({ resources: [resource("mount/a"), resource("bucket/b", "pending")] }))).toEqual({ tone: "ok", text: "All 2 parts as declared" });
  expect(verdict(lake({ resources: [resource("mount/a", "changes"), resource("bucket/b", "unreachable")] }))).toEqual({ tone: "bad", text: "1 not reachable, 1 differs" });
  const level = { name: "volume", used: 9, limit: 10, share: 0.9, mark: "warn" as const, per_day: null, full: null, note: "" };
  expect(verdict(lake({ levels: [level] }))).toEqual({ tone: "warn", text: "1 filling up" });
});

test("parts are grouped by their kind, in their order", () => {
  const found = groups([resource("vm-disk/100/scsi1"), resource("bucket/a"), resource("bucket/b"), resource("new-kind/x")]);
  expect(found.map((g) => [g.title, g.resources.length])).toEqual([["Disk", 1], ["Buckets", 2], ["new-kind", 1]]);
  expect(nameOf("mount/mnt/minio_data")).toBe("mnt/minio_data");
});

test("a tab of a run or a task shows that one's jobs", () => {
  const origin = { dag_id: "lake_spark", run_id: "manual__1+00:00", task_id: "spark_job", try_number: 1 };
  const filter = filterOf("?dag_id=lake_spark&run_id=manual__1%2B00%3A00");
  expect(matches(origin, filter)).toBe(true);
  expect(matches({ ...origin, run_id: "other" }, filter)).toBe(false);
  expect(matches(null, filter)).toBe(false);
  expect(matches(null, filterOf(""))).toBe(true);
  expect(matches(origin, filterOf("?dag_id=lake_spark&task_id=check"))).toBe(false);
});

test("jobs at work come first, then the latest", () => {
  const found = sorted([app({ name: "old", phase: "done", started: 1 }), app({ name: "new", phase: "done", started: 9 }), app({ name: "runs" }), app({ name: "waits", phase: "waiting" })]);
  expect(found.map((a) => a.name)).toEqual(["runs", "waits", "new", "old"]);
});

test("out of memory is said in words", () => {
  expect(phase(app({ phase: "failed", churn: { started: 1, lost: 1, out_of_memory: 1 } })).word).toBe("failed, out of memory");
});

test("figures older than the kubelet's own pause show their age", () => {
  expect([age(figures(100), 112), age(figures(100), 120), age(null, 5)]).toEqual([null, 20, null]);
});

test("a snapshot adds a point once, and keeps columns of one length", () => {
  const pod = { name: "driver", now: figures(20) } as Application["pods"][number];
  const first = extended({ total: { at: [10], cpu: [0.1] } }, app({ now: figures(20), pods: [pod] }));
  expect(first.total?.at).toEqual([10, 20]);
  expect(first.total?.cpu).toEqual([0.1, 0.5]);
  expect(first.total?.memory).toEqual([null, 1]);
  expect(first.driver?.at).toEqual([20]);
  expect(extended(first, app({ now: figures(20), pods: [pod] }))).toBe(first);
});

test("what was not used is said in one sentence", () => {
  const waste = { core_seconds_requested: 200, core_seconds_used: 50, byte_seconds_requested: 0, byte_seconds_used: 0, peak_cpu: null, peak_memory: null, enough_cpu: {}, enough_memory: {} };
  expect(wasted(app({ waste }))).toBe("It used 25 % of the CPU that it asked for.");
  expect(wasted(app({ waste: { ...waste, core_seconds_requested: 0 } }))).toBe("Nothing measured yet.");
});

test("a chart is told in words", () => {
  expect(spoken("CPU", [null, 1, 3, 2], String)).toBe("CPU: now 2, between 1 and 3");
  expect(spoken("CPU", [null], String)).toBe("CPU: no figures yet");
});
