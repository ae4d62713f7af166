"""The stream of payments in the lab: declared, kept running by its DAG, with its driver and an executor killed, then ended at a batch boundary."""

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.declare import unmarked
from include.lake.spec import LAKE_FILE
from simulator.ndjson import lines, values
from simulator.population import population
from simulator.stream import Stream
from tests.conftest import ROOT
from tests.e2e.conftest import Site
from tests.unit.simulator.streams import all_of, true_events

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

STREAM = Stream(seed=11, rate=150, duration=120, accounts=500, late=0.03, duplicates=0.03, malformed=0.02, fraud=0.05)
GIVEN = [f"--{n}={getattr(STREAM, n)}" for n in ("seed", "rate", "duration", "accounts", "late", "duplicates", "malformed", "fraud")]


class Streaming:
    """The lab with the stream declared, its topic and its folder in the bucket by the name."""

    def __init__(self, site: Site, file: Path, name: str) -> None:
        self.site, self.file, self.name, self.environment = site, file, name, {"HOMELAKE_FILE": str(file)}

    def lake(self, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.site.lab.lake(*args, env=self.environment, check=check)

    def kube(self, *args: str) -> str:
        return self.site.kubectl("-n", "spark-jobs", *args)

    def simulate(self, *options: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "simulator", "--kafka", self.site.lab["KAFKA_BOOTSTRAP"], "--topic", self.name, "--quiet", "--resume", *options]
        return subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})

    def entries(self, query: str) -> list[dict[str, Any]]:
        s3 = self.site.s3()
        keys = [o["Key"] for o in s3.list_objects_v2(Bucket="datalake", Prefix=f"{self.name}/_log/{query}/").get("Contents", []) if o["Key"][-6].isdigit()]
        return [json.loads(s3.get_object(Bucket="datalake", Key=k)["Body"].read()) for k in keys]

    def batches(self) -> int:
        return min(len(self.entries(q)) for q in ("bronze", "silver"))

    def records(self, query: str) -> int:
        return sum(e["counts"]["records"] for e in self.entries(query))

    def table(self, name: str) -> pa.Table:
        s3 = self.site.s3()
        files = [f["path"] for q in ("bronze", "silver") for e in self.entries(q) for f in e["files"].get(name, [])]
        return pa.concat_tables([pq.read_table(io.BytesIO(s3.get_object(Bucket="datalake", Key=f"{self.name}/{f}")["Body"].read())) for f in files])

    def kill_java(self, pod: str) -> None:
        """End the JVM of a pod at once."""
        self.kube("exec", pod, "--", "sh", "-c", "kill -9 $(pgrep -x java)")

    def executors(self) -> list[str]:
        return self.kube(
            "get", "pods", "-l", "spark-role=executor", "--field-selector=status.phase=Running", "-o", "jsonpath={.items[*].metadata.name}"
        ).split()


def until(what: str, true: Callable[[], Any], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"{what} did not come within {seconds:.0f} s"
        time.sleep(1)


@contextmanager
def declared(site: Site, folder: Path, name: str = "payments") -> Iterator[Streaming]:
    """The lake with the stream in its declaration, and all that it needs."""
    text = unmarked(LAKE_FILE.read_text())
    for place in ("name: {}", "topic: {}", "s3a://datalake/{}", "s3a://checkpoints/{}"):
        assert place.format("payments") in text
        text = text.replace(place.format("payments"), place.format(name))
    file = folder / "lake.yaml"
    file.write_text(text)
    made = Streaming(site, file, name)
    made.lake("apply", "--yes")
    try:
        yield made
    finally:
        made.lake("stream", "stop", check=False)


@pytest.fixture(scope="module")
def streaming(converged: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Streaming]:
    with declared(converged, tmp_path_factory.mktemp("declared")) as made:
        yield made


def test_killed_driver_and_executor_each_payment_is_in_the_lake_once(streaming: Streaming) -> None:
    source = streaming.simulate(*GIVEN, "--speed-up=0.25")  # it lasts until it is killed, also where an executor takes minutes
    said = streaming.lake("airflow", "dags", "test", "payments_stream")
    assert "The stream of payments runs" in said.stdout + said.stderr
    until("the first batches", lambda: streaming.batches() >= 2)
    first = streaming.executors()
    streaming.kill_java(first[0])
    until("another executor", lambda: set(streaming.executors()) - set(first))
    seen = streaming.batches()
    until("batches with it", lambda: streaming.batches() > seen)
    uid = streaming.kube("get", "pod", "payments-stream-driver", "-o", "jsonpath={.metadata.uid}")
    streaming.kill_java("payments-stream-driver")
    until("another driver", lambda: streaming.kube("get", "pods", "-l", "spark-role=driver", "-o", "jsonpath={.items[*].metadata.uid}") not in ("", uid))
    seen = streaming.batches()
    until("batches of it", lambda: streaming.batches() > seen)
    if source.poll() is None:
        source.kill()
        source.wait()
    assert streaming.simulate(*GIVEN, "--speed-up=max").wait(120) == 0
    sent = sorted(lines(values(STREAM.seed, population(STREAM.seed, STREAM.accounts), all_of(STREAM))).splitlines())
    until("all records", lambda: streaming.records("bronze") >= len(sent))
    last = max(e["offsets"][p][1] for e in streaming.entries("bronze") for p in e["offsets"] if p == "0")
    until("silver", lambda: max((e["offsets"][p][1] for e in streaming.entries("silver") for p in e["offsets"] if p == "0"), default=-1) >= last)
    assert sorted(streaming.table("bronze")["value"].to_pylist()) == sent
    assert sorted(streaming.table("silver")["id"].to_pylist()) == sorted(f"{i:016x}" for i in true_events(all_of(STREAM)).id.tolist())


def test_the_audit_is_clean_and_finds_what_is_taken_away(streaming: Streaming) -> None:
    report = json.loads(streaming.lake("audit", "--json").stdout)
    assert report["clean"] is True
    assert report["counts"]["records"] == len(streaming.table("bronze"))
    text = streaming.lake("airflow", "dags", "test", "payments_audit", "--conf", '{"whole": true}')
    assert "no account's numbers have a gap: holds" in text.stdout + text.stderr
    entry = next(e for e in reversed(streaming.entries("silver")) if "dead" in e["files"])
    key = f"{streaming.name}/_log/silver/{entry['batch']:020d}.json"
    day = entry["files"]["dead"][0]["path"].partition("/date=")[2][:10]
    one = json.loads(streaming.lake("audit", "--day", day, "--json").stdout)
    assert (one["clean"], one["day"], one["counts"]["records"] > 0) == (True, day, True)
    s3 = streaming.site.s3()
    without = entry | {"files": {k: v for k, v in entry["files"].items() if k != "dead"}}
    s3.put_object(Bucket="datalake", Key=key, Body=json.dumps(without).encode())
    try:
        done = streaming.lake("audit", check=False)
        by_day = streaming.lake("audit", "--day", day, check=False)
        task = streaming.lake("airflow", "dags", "test", "payments_audit", "--conf", '{"whole": true}', check=False)
    finally:
        s3.put_object(Bucket="datalake", Key=key, Body=json.dumps(entry).encode())
    finding = "each record of bronze is an event, a dead letter, or the repetition of an event before it: not so"
    for found in (done, by_day):
        assert found.returncode == 1
        assert finding in found.stderr
    assert finding in task.stdout + task.stderr
    assert task.returncode != 0, "verdict fails"


def test_the_documentation_reads_it_with_duckdb(streaming: Streaming) -> None:
    page = (ROOT / "docs" / "how-to" / "stream-payments.md").read_text()
    program = (
        page.partition("```python\n")[2]
        .partition("```")[0]
        .replace("""["./lake", "lab", "env"]""", f"""["cat", {str(streaming.site.lab.state / "site.env")!r}]""")
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=streaming.site.lab.environment(streaming.environment), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    silver = streaming.table("silver")
    bought = sum(a == "approved" and t == "purchase" for a, t in zip(silver["status"].to_pylist(), silver["type"].to_pylist(), strict=True))
    assert f"{bought}" in next(line for line in done.stdout.splitlines() if "purchase" in line)


def test_it_runs_as_declared_so_another_run_changes_nothing(streaming: Streaming) -> None:
    uid = streaming.kube("get", "sparkapplication", "payments-stream", "-o", "jsonpath={.metadata.uid}")
    text = streaming.lake("airflow", "dags", "test", "payments_stream")
    assert "runs as declared" in text.stdout + text.stderr
    assert streaming.kube("get", "sparkapplication", "payments-stream", "-o", "jsonpath={.metadata.uid}") == uid
    for pod in ("payments-stream-driver", *streaming.executors()):
        assert "/maps" in streaming.kube("exec", pod, "--", "sh", "-c", "grep -ls /opt/spark/classes.jsa /proc/[0-9]*/maps"), (
            f"{pod} starts without the image's classes"
        )
    status = streaming.lake("stream", "status").stdout
    assert "payments-stream: RUNNING" in status
    assert "0 offsets behind Kafka" in status


def test_it_ends_at_a_batch_boundary_and_the_lake_is_as_it_left_it(streaming: Streaming) -> None:
    before = streaming.records("silver")
    done = streaming.lake("stream", "stop")
    assert "Ended at a batch boundary" in done.stdout
    assert streaming.kube("get", "sparkapplications", "-o", "name").strip() == ""
    assert streaming.records("silver") == before
    status = streaming.lake("stream", "status", check=False)
    assert (status.returncode, "there is none" in status.stdout) == (2, True)
