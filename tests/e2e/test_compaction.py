"""The stream's files put together by a real Spark on a real MinIO, killed on the way; the stream then goes on, and the audit finds each record once."""

import io
import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq
import pytest

from bench.spark_home import QUICK, spark_environment, spark_submit
from bench.stream_site import StreamSite, stream_site
from include.adapters.stream_log import StreamLog
from include.lake.lake import load_lake
from include.lake.s3a import s3a_profile
from include.lake.stream_log import TABLES as OF
from lab.site import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(900)]

TABLES = {"bronze": ("partition", "offset", "value"), "silver": ("id", "account", "seq", "batch", "late"),
          "dead": ("partition", "offset", "cause")}  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StreamSite]:
    with stream_site(print, tmp_path_factory.mktemp("kafka"), QUICK) as made:
        yield made


def simulate(site: StreamSite, seconds: int) -> None:
    shape = (
        "--partitions=3",
        "--rate=100",
        "--accounts=300",
        "--late=0.05",
        "--duplicates=0.03",
        "--malformed=0.02",
        f"--duration={seconds}",
        "--speed-up=max",
    )
    process = site.simulate(*shape)
    assert process.wait(120) == 0, process.stderr and process.stderr.read()


def stream(site: StreamSite, batches: int | None = None) -> None:
    """Some more small batches, or all that is left."""
    stop = site.server.folder / f"stop-{site.prefix}"
    process = site.start("--max-records=300", "--late-after=5", f"--stop-file={stop}", "--trigger=0.5", *(() if batches else ("--once",)))
    try:
        if batches:
            site.wait(process, batches, seconds=240)
            stop.touch()
        assert process.wait(300) == 0, site.log.read_text()[-3000:]
    finally:
        stop.unlink(missing_ok=True)
        site.kill(process)


def compaction(site: StreamSite, *options: str) -> "subprocess.Popen[str]":
    folder = site.server.folder
    settings = s3a_profile(site.server.endpoint, load_lake().spec.minio.region) | {"spark.driver.memory": "1g"}
    command = spark_submit(folder, settings, ROOT / "jobs/payments_compact.py", "--path", site.path, *options)
    env = spark_environment(site.server, QUICK)
    return subprocess.Popen(command, env=env, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)


def compacted(site: StreamSite, *options: str) -> str:
    process = compaction(site, *options)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said[-3000:]
    return said


def keys(site: StreamSite, prefix: str = "") -> set[str]:
    pages = site.server.s3.get_paginator("list_objects_v2").paginate(Bucket=site.server.bucket, Prefix=f"{site.prefix}/{prefix}")
    return {o["Key"].removeprefix(f"{site.prefix}/") for page in pages for o in page.get("Contents", ())}


def view(site: StreamSite) -> dict[str, Any]:
    found: dict[str, Any] = {t: sorted(map(str, site.table(t).select(list(columns)).to_pylist())) for t, columns in TABLES.items()}
    sums = site.table("figures").group_by(["minute", "currency", "type", "status"]).aggregate([("events", "sum"), ("amount", "sum"), ("late", "sum")])
    return found | {"figures": sorted(map(str, sums.to_pylist()))}


def test_put_together_killed_and_gone_on_with_each_record_is_there_once(site: StreamSite) -> None:
    simulate(site, 30)
    stream(site, 4)
    before, batches = view(site), len(site.entries("silver"))
    process = compaction(site, "--min-batches=2", "--keep=2")  # killed while it writes, before it commits
    deadline = time.monotonic() + 120
    while not any("/compacted/" in k for k in keys(site)):
        assert process.poll() is None, process.communicate()[0][-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    site.kill(process)  # type: ignore[arg-type]
    assert view(site) == before
    said = compacted(site, "--min-batches=2", "--keep=2")
    assert f"silver: batches 0 to {batches - 3} put together" in said, said
    assert view(site) == before
    state = json.loads(site.body("_log/silver/compacted.json"))
    assert state["through"] == batches - 3
    silver = pq.read_table(io.BytesIO(site.body(state["files"]["silver"][0]["path"])))
    places = list(zip(silver["account"].to_pylist(), silver["seq"].to_pylist(), strict=True))
    assert places == sorted(places)
    assert state["files"]["silver"][0]["rows"] == len(places)

    stream(site, 3)  # the stream begins from the entries that were left, and from what was put together
    before = view(site)
    said = compacted(site, "--min-batches=2", "--keep=1", "--grace-minutes=0", "--target-mib=0.05")
    assert view(site) == before
    compacted(site, "--min-batches=2", "--keep=1", "--grace-minutes=0")
    assert view(site) == before
    log = StreamLog(site.connections["lake_s3"], site.path)
    named = {f for t, q in OF.items() for f in log.read(q).files(t)}
    left = {k for k in keys(site) if not k.startswith("_log/")}
    assert left == named, "nothing else is left, of what was killed and of what was replaced"
    assert len([k for k in keys(site, "_log/silver/") if "compacted" not in k]) == 1
    assert len([f for f in named if f.startswith("silver/compacted/")]) > 1, "more than the target is more than a file"

    stream(site)
    report = site.audit()
    assert report.failed == ()
    assert (report.counts["ahead"], report.counts["open"], report.counts["unmarked"]) == (0, 0, 0)


def test_of_two_at_once_one_commits(site: StreamSite) -> None:
    if not site.entries("silver"):  # when it is run alone
        simulate(site, 9)
        stream(site)
    before = view(site)
    assert len(site.entries("silver")) > 1, "there is something to put together"
    both = [compaction(site, "--min-batches=1", "--keep=1") for _ in range(2)]
    said = [p.communicate(timeout=300)[0] for p in both]
    assert view(site) == before, said
    assert sorted(p.returncode for p in both) in ([0, 0], [0, 3]), said
    assert all("has committed meanwhile" in s for p, s in zip(both, said, strict=True) if p.returncode)
