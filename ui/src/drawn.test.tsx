// What components do over time: what they ask the server for, and what they show of the answers.
import { act } from "preact/test-utils";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { drawn, Page } from "./dom";
import { app, figures } from "./made";
import type { Application, Pod, Series, Snapshot } from "./types";

vi.mock("./chart", () => ({ Chart: ({ title, at }: { title: string; at: number[] }) => <figure>{`${title}: ${at.join(" ")}`}</figure> }));
Object.assign(globalThis, { location: { href: "http://airflow/homelake/" } });
const [{ JobsView }, { useJob }, { Log }, { Pods }, { Facts }, { Copy }] = await Promise.all([import("./jobs"), import("./known"), import("./log"), import("./pods"), import("./facts"), import("./parts")]);

type Answer = unknown | Promise<unknown>;
let asked: string[];
let answer: (path: string) => Answer;
let page: Page;

const totals = { pending: 0, running: 0, done: 3, failed: 0, input_bytes: 0, input_rows: 0, output_bytes: 0, output_rows: 0, shuffle_read: 0, shuffle_written: 0 };
const waste = { core_seconds_requested: 0, core_seconds_used: 0, byte_seconds_requested: 0, byte_seconds_used: 0, peak_cpu: null, peak_memory: null, enough_cpu: {}, enough_memory: {} };
const bounds = { cpu_request: null, cpu_limit: null, memory_request: null, memory_limit: null };
const whole = (more: Partial<Application>) => app({ uid: "u", main: "job.py", origin: null, paths: [], queries: [], totals, waste, bounds, ...more });
const driver = (uid: string, more: Partial<Pod> = {}) => ({ uid, name: "s-driver", role: "driver", executor: "driver", phase: "Running", reason: "", bounds, now: null, started: null, ...more }) as Pod;
const snapshot = (at: number, ...applications: Application[]): Snapshot => ({ at, interval: 2, took: 0, calls: 1, applications, problems: [] });
const kept = (name: string) => ({ namespace: "n", name, stamp: "20261126T221300Z", main: "", started: 100, ended: 200, phase: "done", totals, waste, origin: null });
const pass = (seconds: number) => act(async () => void (await vi.advanceTimersByTimeAsync(seconds * 1000)));

beforeEach(() => {
  vi.useFakeTimers();
  [asked, page] = [[], new Page()];
  vi.stubGlobal("document", page);
  vi.stubGlobal("fetch", async (url: string) => {
    asked.push(url.replace("/homelake/api/", ""));
    const found = await answer(asked.at(-1)!);
    return found instanceof Error ? new Response(JSON.stringify({ error: found.message }), { status: 502 }) : new Response(typeof found === "string" ? found : JSON.stringify(found));
  });
});
afterEach(() => void vi.useRealTimers());

test("a job that ends while the list is open is listed among the earlier ones", async () => {
  let lake: unknown[] = [];
  answer = () => lake;
  const list = (...applications: Application[]) => <JobsView snapshot={snapshot(1, ...applications)} now={1} filter={null} />;
  const { root, draw } = drawn(list(whole({ name: "ends" })));
  await pass(20);
  expect(asked).toEqual(["past"]);
  await draw(list());
  await pass(0);
  expect([asked.length, root.textContent.includes("ends")]).toEqual([2, false]);
  lake = [kept("ends")]; // it is written a little later
  await pass(5);
  expect(root.textContent).toContain("ends");
  await pass(300);
  expect(asked.length).toBeLessThan(10);
});

test("a list that could not be read is read again, what it has stays, and the notice goes", async () => {
  answer = () => [kept("one")];
  const { root } = drawn(<JobsView snapshot={snapshot(1)} now={1} filter={null} />);
  await pass(1);
  answer = () => new Error("MinIO is away");
  await pass(60);
  expect(root.textContent).toMatch(/MinIO is away.*one/);
  answer = () => [kept("two")];
  await pass(2);
  expect(root.textContent).not.toContain("away");
  expect(root.textContent).toContain("two");
});

test("a list that nobody sees asks for nothing", async () => {
  answer = () => [];
  drawn(<JobsView snapshot={snapshot(1)} now={1} filter={null} />);
  page.hide(true);
  await pass(21);
  await pass(3600);
  expect(asked.length).toBe(1);
  await act(() => page.hide(false));
  expect(asked.length).toBe(2);
});

const Course = ({ at }: { at: Snapshot }) => {
  const { series, problem } = useJob(at, { namespace: "n", name: "a", stamp: "" });
  return <p>{`${problem} total ${series.total?.at?.join(" ")} driver ${series["s-driver"]?.at?.join(" ")}`}</p>;
};

test("a course that could not be read grows by what is seen, says so, and is read again", async () => {
  answer = () => new Error("Unable to reach it.");
  const at = (t: number) => <Course at={snapshot(t, whole({ now: figures(t), pods: [driver("d", { now: figures(t) })] }))} />;
  const { root, draw } = drawn(at(100));
  await pass(0);
  await draw(at(102));
  expect(root.textContent).toBe("Unable to reach it. total 100 102 driver 100 102");
  answer = (): Series => ({ total: { at: [90, 100, 102] }, "s-driver": { at: [101] } });
  await pass(2);
  expect(root.textContent, "what was seen before the server's begins stays").toBe(" total 90 100 102 driver 100 101");
  expect(asked.length).toBe(2);
  await draw(at(104));
  expect([root.textContent, asked.length]).toEqual([" total 90 100 102 104 driver 100 101 104", 2]);
  answer = (): Series => ({ total: { at: [90, 150, 200] } });
  await draw(at(200));
  await pass(0);
  expect(root.textContent, "what a hidden page has missed is read").toContain("total 90 150 200");
});

test("a stream's next driver begins a course of its own", async () => {
  answer = (): Series => ({ total: { at: [90] }, "s-driver": { at: [90] } });
  const at = (t: number, ...pods: Pod[]) => <Course at={snapshot(t, whole({ now: figures(t), pods }))} />;
  const { root, draw } = drawn(at(100, driver("one", { now: figures(100) })));
  await pass(0);
  await draw(at(102, driver("one", { phase: "Unknown" }), driver("two", { now: figures(102) })));
  expect(root.textContent).toBe(" total 90 102 driver 102");
});

test("of the pods of one name the newest has the course, and each has its own card", async () => {
  const pods = [driver("one", { phase: "Unknown", reason: "Deleted" }), driver("two")];
  const show = (pods: Pod[]) => <Pods app={whole({ pods })} series={{ "s-driver": { at: [1, 2] } }} theme="light" now={5} />;
  const { root, draw } = drawn(show(pods));
  const [dead, living] = root.all("article");
  expect([dead?.textContent.includes("Deleted"), dead?.all("figure").length, living?.all("figure").length]).toEqual([true, 0, 2]);
  await draw(show(pods.slice(1)));
  expect(root.all("article")).toEqual([living]);
});

test("a log that comes after another pod was chosen is not shown", async () => {
  const waiting: Record<string, (lines: string) => void> = {};
  answer = (path) => new Promise((resolve) => (waiting[path.split("pod=")[1] ?? ""] = resolve));
  const pods = [driver("one", { phase: "Unknown" }), driver("two"), driver("x", { name: "s-exec-1", role: "executor", executor: "1" })];
  const { root } = drawn(<Log app={whole({ pods })} />);
  expect(root.all("option").map((o) => o.textContent)).toEqual(["driver", "executor 1"]);
  await act(() => root.find("button", "Show").tell("click"));
  const select = root.find("select");
  await act(() => select.tell("change", { currentTarget: { value: "s-exec-1" } }));
  waiting["s-exec-1"]?.("of the executor");
  await pass(0);
  waiting["s-driver"]?.("of the driver");
  await pass(0);
  expect(root.find("pre").textContent).toBe("of the executor");
  await act(() => select.tell("change", { currentTarget: { value: "s-driver" } }));
  expect(root.find("pre").textContent).toBe("");
});

test("how many tasks run is a dash where nobody tells", async () => {
  answer = () => [];
  const unknown = whole({ totals: { ...totals, running: null, pending: null } });
  const { root } = drawn(<Facts app={unknown} here={false} console="" />);
  expect(root.find("dd").textContent).toBe("3 done, – running, – waiting");
  const list = drawn(<JobsView snapshot={snapshot(1, unknown)} now={1} filter={null} />).root;
  expect(list.textContent).toContain("3 done– running");
});

test.each([
  ["by the browser's clipboard", { writeText: async () => {} }, false, "Copied."],
  ["in the old way over plain http", undefined, true, "Copied."],
  ["by hand where nothing else works", { writeText: () => Promise.reject(new Error("not in this frame")) }, false, "It is selected: copy it by the keyboard."],
])("a command is copied %s", async (_, clipboard, old, said) => {
  const selected: unknown[] = [];
  vi.stubGlobal("navigator", { clipboard });
  vi.stubGlobal("getSelection", () => ({ selectAllChildren: (node: unknown) => selected.push(node) }));
  Object.assign(page, { execCommand: () => old });
  const { root } = drawn(<Copy text="kubectl get pods" />);
  await act(async () => root.find("button").tell("click"));
  await pass(0);
  expect(root.find("span").textContent).toBe(said);
  expect(selected).toEqual(clipboard && said === "Copied." ? [] : [root.find("code")]);
});
