// What the page says, out of what the server knows. Pure: everything here is tested without a browser.
import { bytes, cores, moment, percent, span } from "./format";
import type { Application, Figures, Lake, Pod, Resource, Snapshot } from "./types";

export const STALE = 15; // seconds: a kubelet's sample is at most about 10 s old

export type Tone = "ok" | "warn" | "bad" | "wait";
export interface Verdict {
  tone: Tone;
  text: string;
}

const KINDS: Record<string, string> = {
  "vm-disk": "Disk",
  filesystem: "Filesystem",
  mount: "Mount",
  account: "Account",
  binary: "MinIO program",
  service: "MinIO service",
  bucket: "Buckets",
  policy: "Policies",
  user: "Users",
  namespace: "Namespace",
  "service-account": "Service account",
  keypair: "Key pairs",
  topic: "Kafka topics",
  stream: "Stream",
};

export function standing(status: string): { tone: Tone; word: string } {
  if (status === "ok") return { tone: "ok", word: "as declared" };
  if (status === "pending") return { tone: "wait", word: "waits for a restart" };
  if (status === "unreachable") return { tone: "bad", word: "not reachable" };
  if (status === "known after apply") return { tone: "wait", word: "known after apply" };
  return { tone: "warn", word: status === "changes" ? "differs" : status };
}

export function verdict(lake: Lake): Verdict {
  if (lake.checked == null) return { tone: "wait", text: "Not checked yet" };
  const of = (wanted: string) => lake.resources.filter((r) => r.status === wanted).length;
  const differ = lake.resources.filter((r) => !["ok", "pending", "unreachable"].includes(r.status)).length;
  const parts = [];
  if (of("unreachable")) parts.push(`${of("unreachable")} not reachable`);
  if (differ) parts.push(`${differ} ${differ === 1 ? "differs" : "differ"}`);
  const full = lake.levels.filter((l) => l.mark !== "ok").length;
  if (full) parts.push(`${full} filling up`);
  if (parts.length) return { tone: of("unreachable") || lake.levels.some((l) => l.mark === "fail") ? "bad" : "warn", text: parts.join(", ") };
  return { tone: "ok", text: `All ${lake.resources.length} parts as declared` };
}

export function groups(resources: Resource[]): { title: string; resources: Resource[] }[] {
  const found = new Map<string, Resource[]>();
  for (const r of resources) {
    const kind = r.id.split("/")[0] ?? "";
    const title = KINDS[kind] ?? kind;
    found.set(title, [...(found.get(title) ?? []), r]);
  }
  return [...found].map(([title, list]) => ({ title, resources: list }));
}

export const nameOf = (id: string): string => id.slice(id.indexOf("/") + 1);

export interface Filter {
  dag_id: string;
  run_id: string;
  task_id: string;
}

export function filterOf(search: string): Filter | null {
  const given = new URLSearchParams(search);
  const dag_id = given.get("dag_id");
  return dag_id ? { dag_id, run_id: given.get("run_id") ?? "", task_id: given.get("task_id") ?? "" } : null;
}

export function matches(origin: Application["origin"], filter: Filter | null): boolean {
  if (!filter) return true;
  return !!origin && origin.dag_id === filter.dag_id && (!filter.run_id || origin.run_id === filter.run_id) && (!filter.task_id || origin.task_id === filter.task_id);
}

const ORDER = { running: 0, waiting: 1, lost: 2, failed: 3, done: 4 };

/** Those at work first, then the latest. */
export function sorted(applications: Application[]): Application[] {
  return [...applications].sort((a, b) => ORDER[a.phase] - ORDER[b.phase] || (b.started ?? 0) - (a.started ?? 0) || a.name.localeCompare(b.name));
}

export function phase(app: { phase: Application["phase"]; churn?: Application["churn"] }): { tone: Tone; word: string } {
  if (app.phase === "failed") return { tone: "bad", word: app.churn?.out_of_memory ? "failed, out of memory" : "failed" };
  if (app.phase === "lost") return { tone: "bad", word: "lost" };
  if (app.phase === "waiting") return { tone: "wait", word: "waiting" };
  return { tone: "ok", word: app.phase };
}

export function age(figures: Figures | null, now: number): number | null {
  return figures && now - figures.at > STALE ? now - figures.at : null;
}

/** One sentence: what was asked for and not used, and what would have been enough. */
export function wasted(app: Pick<Application, "waste" | "bounds">): string {
  const w = app.waste;
  if (!w.core_seconds_requested && !w.byte_seconds_requested) return "Nothing measured yet.";
  const share = (used: number, asked: number) => (asked ? percent(used / asked) : "nothing asked for");
  const words = [];
  if (w.core_seconds_requested) words.push(`${share(w.core_seconds_used, w.core_seconds_requested)} of the CPU`);
  if (w.byte_seconds_requested) words.push(`${share(w.byte_seconds_used, w.byte_seconds_requested)} of the memory`);
  return `It used ${words.join(" and ")} that it asked for.`;
}

export function enough(app: Pick<Application, "waste">): string[] {
  const roles = [...new Set([...Object.keys(app.waste.enough_cpu), ...Object.keys(app.waste.enough_memory)])].sort();
  return roles.map((role) => {
    const cpu = app.waste.enough_cpu[role];
    const memory = app.waste.enough_memory[role];
    const parts = [cpu == null ? "" : `${cpu.toFixed(1)} cores`, memory == null ? "" : bytes(memory)].filter(Boolean);
    return `${role}: ${parts.join(" and ")}`;
  });
}

export function of(snapshot: Snapshot | null, namespace: string, name: string): Application | null {
  return snapshot?.applications.find((a) => a.namespace === namespace && a.name === name) ?? null;
}

/** Of pods that had one name after each other, as a stream's drivers, the newest: the server tells the oldest first. */
export const newest = (pods: Pod[]): Pod[] => [...new Map(pods.map((p) => [p.name, p])).values()];

const OVER: Application["phase"][] = ["done", "failed", "lost"];

/** Whether, since these applications were seen, one of them has ended or is there no more. */
export function ended(before: Application[], now: Application[]): boolean {
  const phases = new Map(now.map((a) => [a.uid, a.phase]));
  return before.some((a) => !phases.has(a.uid) || (!OVER.includes(a.phase) && OVER.includes(phases.get(a.uid)!)));
}

export const unread = (problem: string): string => `The course of its figures could not be read, which is tried again: ${problem}`;

/** What to call two that are compared: of a stream's both have one name, and their starts tell them apart. */
export function named(...two: Pick<Application, "name" | "started">[]): string[] {
  return two.map((app) => (new Set(two.map((a) => a.name)).size < two.length ? `${app.name}, ${moment(app.started)}` : app.name));
}

export const use = (app: Application): string =>
  `${cores(app.now?.cpu)} of ${cores(app.bounds.cpu_request)} cores asked for, ${bytes(app.now?.memory)} of ${bytes(app.bounds.memory_limit)}`;

export const lasted = (app: { started: number | null; ended: number | null }, now: number): string => (app.started == null ? "–" : span((app.ended ?? now) - app.started));

/** What Spark saw at most of a JVM's memory, by its kinds; nothing before it has told, and nothing of a kind that an older record lacks. */
export function peaks(now: Figures | null): string {
  const kinds: [string, number | null | undefined][] = [
    ["heap", now?.heap],
    ["classes and code", now?.off_heap],
    ["direct buffers", now?.direct],
    ["mapped files", now?.mapped],
    ["Spark off heap", now?.spark_off_heap],
  ];
  return kinds.flatMap(([name, value]) => (value == null ? [] : [`${name} ${bytes(value)}`])).join(", ");
}

/** A folder of the lake in MinIO's console: its whole name is one part of the address. Without the slash at its end the console would look for an object. */
export function consoleAddress(console: string, path: string): string {
  const [bucket = "", ...rest] = path.replace(/^s3a:\/\//, "").split("/");
  const folder = rest.join("/").replace(/\/*$/, "/");
  return `${console}browser/${encodeURIComponent(bucket)}${folder === "/" ? "" : `/${encodeURIComponent(folder)}`}`;
}
