// The documents of the server: include/lake/metrics/view.py and include/dashboard/lake_view.py. Cores, bytes, seconds; moments since 1970; null: not known.
export interface Figures {
  at: number;
  cpu: number | null;
  memory: number | null;
  heap: number | null;
  off_heap: number | null;
  spark_off_heap: number | null;
  direct: number | null;
  mapped: number | null;
  gc: number | null;
  received: number | null;
  sent: number | null;
  disk: number | null;
  shuffle_read: number | null;
  shuffle_written: number | null;
  tasks: number | null;
}
export interface Bounds {
  cpu_request: number | null;
  cpu_limit: number | null;
  memory_request: number | null;
  memory_limit: number | null;
}
export interface Pod {
  name: string;
  role: string;
  executor: string;
  node: string;
  phase: string;
  reason: string;
  message: string;
  exit_code: number | null;
  started: number | null;
  ended: number | null;
  bounds: Bounds;
  now: Figures | null;
  uid?: string; // which the lake's earlier records lack
}
export interface Stage {
  id: number;
  attempt: number;
  name: string;
  status: string;
  tasks: number;
  running: number;
  done: number;
  failed: number;
}
export interface Totals {
  pending: number | null;
  running: number | null;
  done: number;
  failed: number;
  input_bytes: number;
  input_rows: number;
  output_bytes: number;
  output_rows: number;
  shuffle_read: number;
  shuffle_written: number;
}
export interface Waste {
  core_seconds_requested: number;
  core_seconds_used: number;
  byte_seconds_requested: number;
  byte_seconds_used: number;
  peak_cpu: number | null;
  peak_memory: number | null;
  enough_cpu: Record<string, number>;
  enough_memory: Record<string, number>;
}
export interface Query {
  name: string;
  batch: number | null;
  input_rate: number | null;
  processing_rate: number | null;
  batch_seconds: number | null;
  behind: number | null;
  watermark_delay: number | null;
}
export interface Origin {
  dag_id: string;
  run_id: string;
  task_id: string;
  try_number: number;
}
export interface Application {
  namespace: string;
  name: string;
  uid: string;
  phase: "waiting" | "running" | "done" | "failed" | "lost";
  state: string;
  error: string;
  started: number | null;
  ended: number | null;
  stream: boolean;
  main: string;
  origin: Origin | null;
  paths: string[];
  bounds: Bounds;
  now: Figures | null;
  totals: Totals;
  churn: { started: number; lost: number; out_of_memory: number };
  waste: Waste;
  pods: Pod[];
  stages: Stage[];
  queries: Query[];
  events: { at: number; subject: string; reason: string; message: string }[];
  problem: string;
}
export interface Snapshot {
  at: number;
  interval: number;
  took: number;
  calls: number;
  applications: Application[];
  problems: string[];
}
export type Columns = Record<string, (number | null)[]>;
export type Series = Record<string, Columns>;
export interface PastJob {
  namespace: string;
  name: string;
  stamp: string; // its start, as its object's name has it
  main: string;
  started: number | null;
  ended: number | null;
  phase: Application["phase"];
  totals: Totals;
  waste: Waste;
  origin: Origin | null;
}
export interface Resource {
  id: string;
  status: string;
  changes: { field: string; before: string | null; after: string | null }[];
  error: string | null;
}
export interface Level {
  name: string;
  used: number;
  limit: number | null;
  share: number | null;
  mark: "ok" | "warn" | "fail";
  per_day: number | null;
  full: string | null;
  note: string;
}
export interface Bucket {
  name: string;
  objects: number | null;
  bytes: number | null;
  noncurrent: number | null;
  noncurrent_bytes: number | null;
  delete_markers: number | null;
}
export interface Lake {
  name: string;
  checked: number | null;
  run: { dag_id: string; run_id: string } | null;
  resources: Resource[];
  levels: Level[];
  buckets: Bucket[];
  keys: { name: string; created: number | null }[];
  problems: string[];
  console: string; // the address of MinIO's; empty: not known
}
