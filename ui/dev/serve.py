"""The page on made-up figures that move: `python ui/dev/serve.py PORT`, then http://127.0.0.1:PORT/homelake/. No cluster, no Airflow."""

import json
import math
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

STATIC = Path(__file__).resolve().parents[2] / "plugins/static"
TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css"}
MIB, GIB = 1 << 20, 1 << 30
NONE = dict.fromkeys(("heap", "off_heap", "spark_off_heap", "direct", "mapped", "gc", "disk", "shuffle_read", "shuffle_written"))


def figures(at: float, phase: float, *, cpu: float, memory: float) -> dict[str, Any]:
    wave = 0.5 + 0.5 * math.sin(at / 11 + phase)
    return {**NONE, "at": at, "cpu": cpu * (0.35 + 0.6 * wave), "memory": memory * (0.7 + 0.2 * wave), "heap": memory * 0.5, "off_heap": 170 * MIB, "spark_off_heap": 0, "direct": 3 * MIB, "mapped": 0, "gc": 0.02 * wave,
            "received": 4e6 * wave, "sent": 1.5e6 * (1 - wave), "disk": (30 + at / 10 % 60) * MIB, "shuffle_read": 2e6 * wave, "shuffle_written": 1e6 * wave, "tasks": round(2 * wave)}  # fmt: skip


def pod(app: str, role: str, number: str, now: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    bounds = {"cpu_request": 0.25, "cpu_limit": 1.0, "memory_request": 896 * MIB, "memory_limit": 896 * MIB}
    name = f"{app}-{'driver' if role == 'driver' else f'exec-{number}'}"
    return {"name": name, "uid": name, "role": role, "executor": number, "node": "lab", "phase": "Running", "reason": "", "message": "", "exit_code": None,
            "started": time.time() - 300, "ended": None, "bounds": bounds, "now": now, **more}  # fmt: skip


def application(name: str, phase: str, at: float, executors: int, **more: Any) -> dict[str, Any]:
    running = phase == "running"
    pods = [pod(name, "driver", "driver", figures(at, 0, cpu=0.6, memory=700 * MIB) if running else None)]
    pods += [pod(name, "executor", str(n), figures(at, n, cpu=1, memory=820 * MIB) if running else None) for n in range(1, executors + 1)]
    total = (
        {k: sum(p["now"][k] or 0 for p in pods) for k in ("cpu", "memory", "heap", "received", "sent", "disk", "shuffle_read", "shuffle_written", "tasks")}
        if running
        else {}
    )
    if total:
        total["gc"] = sum(p["now"]["gc"] for p in pods) / len(pods)
    size = len(pods)
    base = {
        "namespace": "spark-jobs", "name": name, "uid": name, "phase": phase, "state": phase.upper(), "error": "", "started": at - 320, "ended": None, "stream": False,
        "main": "local:///opt/homelake/job/infra_status.py", "origin": {"dag_id": "lake_spark", "run_id": "scheduled__2026-11-26T06:00:00+00:00", "task_id": "spark_job", "try_number": 1},
        "paths": ["s3a://datalake/test-output/"], "now": {**NONE, "at": at, **total} if running else None,
        "bounds": {"cpu_request": 0.25 * size, "cpu_limit": 1.0 * size, "memory_request": 896 * MIB * size, "memory_limit": 896 * MIB * size},
        "totals": {"pending": 4, "running": 2, "done": 118, "failed": 0, "input_bytes": 3.2e9, "input_rows": 4.2e6, "output_bytes": 9.1e8, "output_rows": 1.1e6, "shuffle_read": 4e8, "shuffle_written": 4e8},
        "churn": {"started": executors, "lost": 0, "out_of_memory": 0},
        "waste": {"core_seconds_requested": 240, "core_seconds_used": 151, "byte_seconds_requested": 900 * GIB, "byte_seconds_used": 610 * GIB, "peak_cpu": 0.94, "peak_memory": 805 * MIB,
                  "enough_cpu": {"driver": 0.3, "executor": 0.9}, "enough_memory": {"driver": 640 * MIB, "executor": 960 * MIB}},
        "pods": pods, "stages": [], "queries": [], "events": [], "problem": "",
    }  # fmt: skip
    return base | more


def stage(number: int, name: str, status: str, done: int, tasks: int) -> dict[str, Any]:
    return {"id": number, "attempt": 0, "name": name, "status": status, "tasks": tasks, "running": 2 if status == "active" else 0, "done": done, "failed": 0}


def snapshot() -> dict[str, Any]:
    now = time.time()
    at = now - now % 10  # as a kubelet, whose sample stays for ten seconds
    rate = 200 + 40 * math.sin(now / 9)
    stream = application("payments-stream", "running", at, 1, stream=True, main="payments_stream.py", origin=None, paths=["s3a://datalake/payments/", "s3a://checkpoints/payments/"],
                         queries=[{"name": q, "batch": 812, "input_rate": rate, "processing_rate": rate * 1.6, "batch_seconds": 1.3, "behind": 240 + b, "watermark_delay": w}
                                  for q, b, w in (("bronze", 0, None), ("silver", 260, 61.0))])  # fmt: skip
    done = round(now % 60 / 60 * 48)
    batch = application(
        "spark-job-4f1c9a2e07-1",
        "running",
        at,
        2,
        stages=[stage(7, "parquet at infra_status.py:88", "active", done, 48), stage(6, "groupBy at infra_status.py:61", "complete", 24, 24)],
    )
    failed = application("spark-job-0b77d1c3aa-1", "failed", at, 1, error="Job aborted due to stage failure: ExecutorLostFailure (executor 1 exited caused by one of the running tasks): OOMKilled",
                         ended=at - 900, started=at - 1100, churn={"started": 1, "lost": 1, "out_of_memory": 1},
                         events=[{"at": at - 930, "subject": "spark-job-0b77d1c3aa-1-exec-1", "reason": "OOMKilling", "message": "Memory cgroup out of memory: killed process 4711 (java)"}])  # fmt: skip
    failed["pods"][1] |= {"phase": "Failed", "reason": "OOMKilled", "exit_code": 137, "ended": at - 920}
    waits = application("spark-job-77aa01bc9d-1", "waiting", at, 0, started=None, pods=[pod("spark-job-77aa01bc9d-1", "driver", "driver", None, phase="Pending", started=None,
                        reason="Unschedulable", message="0/1 nodes are available: 1 Insufficient cpu.")])  # fmt: skip
    finished = application("spark-job-91d00e5b21-1", "done", at, 1, ended=at - 4000, started=at - 4180)
    return {"at": now, "interval": 2.0, "took": 0.09, "calls": 9, "applications": [failed, finished, batch, stream, waits], "problems": []}


def series(name: str) -> dict[str, Any]:
    now = time.time()
    found: dict[str, dict[str, list[Any]]] = {}
    for back in range(600, 0, -10):
        moment = now - now % 10 - back
        for app in [application(name, "running", moment, 2)]:
            for key, point in [("total", app["now"]), *((p["name"], p["now"]) for p in app["pods"])]:
                for column, value in point.items():
                    found.setdefault(key, {}).setdefault(column, []).append(value)
    return found


def lake() -> dict[str, Any]:
    def row(name: str, status: str = "ok", changes: Any = (), error: str | None = None) -> dict[str, Any]:
        return {"id": name, "status": status, "changes": [dict(zip(("field", "before", "after"), c, strict=True)) for c in changes], "error": error}

    away = "Unable to reach Kubernetes at https://10.202.0.20:6443: connection refused. Check the connection 'kubernetes_default'."
    names = [
        "vm-disk/100/scsi1",
        "filesystem/scsi1",
        "mount/mnt/minio_data",
        "account/minio-user",
        "binary/minio",
        "service/minio",
        "policy/spark-user",
        "user/spark-user",
    ]
    rows = [row(n) for n in names]
    rows += [row("bucket/datalake", "changes", [("quota", "5 GiB", "100 GiB"), ("versioning", "off", "on")]), row("bucket/checkpoints"),
             row("namespace/spark-jobs", "unreachable", error=away), row("service-account/spark-jobs/spark-sa", "unreachable"),
             row("keypair/spark-user", "known after apply"), row("topic/payments"), row("topic/payments.labels")]  # fmt: skip
    level = {"per_day": None, "full": None, "note": "no history yet"}
    levels = [{**level, "name": "bucket datalake", "used": 83 * GIB, "limit": 100 * GIB, "share": 0.83, "mark": "warn", "per_day": 1.2 * GIB, "full": "2026-12-11T04:00+00:00", "note": ""},
              {**level, "name": "volume", "used": 96 * GIB, "limit": 492 * GIB, "share": 0.195, "mark": "ok"}, {**level, "name": "inodes", "used": 48_211, "limit": 32_768_000, "share": 0.0015, "mark": "ok"}]  # fmt: skip
    buckets = [{"name": "datalake", "objects": 48_120, "bytes": 81 * GIB, "noncurrent": 3_211, "noncurrent_bytes": 2 * GIB, "delete_markers": 120},
               {"name": "checkpoints", "objects": 812, "bytes": 3 * MIB, "noncurrent": 0, "noncurrent_bytes": 0, "delete_markers": 0}]  # fmt: skip
    return {"name": "homelake", "checked": time.time() - 412, "run": {"dag_id": "lake_governance", "run_id": "scheduled__2026-11-26T22:00:00+00:00"}, "resources": rows, "levels": levels,
            "buckets": buckets, "keys": [{"name": "spark-user", "created": time.time() - 86400 * 12}], "problems": [away], "console": "http://10.202.0.10:9001/"}  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    """The routes of include/dashboard/app.py."""

    def do_GET(self) -> None:
        path = urlsplit(self.path).path.removeprefix("/homelake/")
        if path == "api/live":
            self._live()
        elif path.startswith("api/"):
            self._json(path)
        else:
            file = STATIC / (path or "index.html")
            self._send(file.read_bytes() if file.is_file() else b"no such file", TYPES.get(file.suffix, "text/plain"), 200 if file.is_file() else 404)

    def _json(self, path: str) -> None:
        parts = path.split("/")
        if path.endswith("/manifest"):
            return self._send(b"apiVersion: sparkoperator.k8s.io/v1beta2\nkind: SparkApplication\n", "text/plain")
        if path.endswith("/log"):
            return self._send(b"26/11/26 22:31:02 INFO Starting\nDEBUG: Access Key exists: True\nWrite Success!\n", "text/plain")
        app = next((a for a in snapshot()["applications"] if a["name"] == "spark-job-91d00e5b21-1"), None)
        past = (
            [
                {k: app[k] for k in ("namespace", "main", "phase", "totals", "waste", "origin")}
                | {"name": name, "started": app["started"] - 3600 * n, "ended": app["ended"] - 3600 * n, "stamp": f"20261126T2{n}1300Z"}
                for n, name in enumerate(("spark-job-aa0e5b21aa-1", "payments-stream", "payments-stream", "spark-job-bb0e5b21aa-1"))
            ]
            if app
            else []
        )
        document: Any = {"lake": lake, "snapshot": snapshot, "past": lambda: past}.get(parts[1], lambda: None)() if len(parts) == 2 else None
        if parts[1] == "applications":
            document = series(parts[3])
        if parts[1] == "past" and len(parts) == 4:
            began = time.time() - 5000 - 3600 * int(parse_qs(urlsplit(self.path).query).get("stamp", ["20261126T201300Z"])[0][10])
            document = {"application": application(parts[3], "done", began, 2, started=began, ended=began + 300), "series": series(parts[3])}
        return self._send(json.dumps(document).encode(), "application/json")

    def _live(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        try:
            while True:
                self.wfile.write(f"event: snapshot\ndata: {json.dumps(snapshot())}\n\n".encode())
                self.wfile.flush()
                time.sleep(2)
        except OSError:
            pass  # nobody listens any more

    def _send(self, body: bytes, kind: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
