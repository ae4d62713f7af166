// What the tests are made of.
import type { Application, Figures } from "./types";

export const figures = (at: number, cpu: number | null = 0.5): Figures => ({ at, cpu, memory: 1, heap: null, off_heap: null, spark_off_heap: null, direct: null, mapped: null, gc: null, received: null, sent: null, disk: null, shuffle_read: null, shuffle_written: null, tasks: 1 });
export const app = (more: Partial<Application>): Application =>
  ({ namespace: "n", name: "a", phase: "running", started: 0, ended: null, pods: [], now: null, churn: { started: 0, lost: 0, out_of_memory: 0 }, ...more }) as Application;
