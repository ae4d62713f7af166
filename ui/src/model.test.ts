import { expect, test } from "vitest";
import { age, consoleAddress, ended, filterOf, groups, matches, nameOf, named, newest, peaks, phase, sorted, verdict, wasted } from "./model";
import { app, figures } from "./made";
import type { Lake, Pod } from "./types";

const lake = (more: Partial<Lake>): Lake => ({ name: "l", checked: 1, run: null, resources: [], levels: [], buckets: [], keys: [], problems: [], console: "", ...more });
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

test("what was not used is said in one sentence", () => {
  const waste = { core_seconds_requested: 200, core_seconds_used: 50, byte_seconds_requested: 0, byte_seconds_used: 0, peak_cpu: null, peak_memory: null, enough_cpu: {}, enough_memory: {} };
  expect(wasted(app({ waste }))).toBe("It used 25 % of the CPU that it asked for.");
  expect(wasted(app({ waste: { ...waste, core_seconds_requested: 0 } }))).toBe("Nothing measured yet.");
});

test("peaks of a JVM's memory are told by their kinds", () => {
  expect(peaks({ ...figures(1), heap: 2 ** 27, off_heap: 2 ** 26, direct: 2 ** 21, mapped: 0, spark_off_heap: 0 })).toBe("heap 128 MiB, classes and code 64.0 MiB, direct buffers 2.0 MiB, mapped files 0 B, Spark off heap 0 B");
  expect([peaks(null), peaks(figures(1))]).toEqual(["", ""]);
});

test("a path of the lake is found in MinIO's console", () => {
  const console = "http://10.202.0.10:9001/";
  expect(consoleAddress(console, "s3a://datalake/payments/")).toBe("http://10.202.0.10:9001/browser/datalake/payments%2F");
  expect(consoleAddress(console, "s3a://datalake/test-busy/a b")).toBe("http://10.202.0.10:9001/browser/datalake/test-busy%2Fa%20b%2F");
  expect([consoleAddress(console, "s3a://datalake"), consoleAddress(console, "s3a://datalake/")]).toEqual(Array(2).fill("http://10.202.0.10:9001/browser/datalake"));
});

test("two that are compared have two names", () => {
  expect(named(app({ name: "a" }), app({ name: "b" }))).toEqual(["a", "b"]);
  const [one, other] = named(app({ name: "s", started: 1_700_000_000 }), app({ name: "s", started: 1_700_000_060 }));
  expect(one).toMatch(/^s, .*:20$/);
  expect(other).not.toBe(one);
});

test("a job has ended when it is over or there no more, and only once", () => {
  const [runs, done] = [app({ uid: "a" }), app({ uid: "a", phase: "done" })];
  expect([ended([], [runs]), ended([runs], [runs]), ended([done], [done])]).toEqual([false, false, false]);
  const turned = (["done", "failed", "lost"] as const).map((phase) => ended([runs], [app({ uid: "a", phase })]));
  expect([...turned, ended([done], []), ended([runs], [app({ uid: "b" })])]).toEqual(Array(5).fill(true));
});

test("of pods that had one name the newest is told last", () => {
  const pods = ["one", "two", "three"].map((uid) => ({ uid, name: uid === "three" ? "x" : "driver" }) as Pod);
  expect(newest(pods).map((p) => p.uid)).toEqual(["two", "three"]);
});
