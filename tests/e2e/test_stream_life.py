"""The stream of payments as its owner lives with it: seen on the dashboard, taken through a change of its keys, run a micro batch at a time."""

import io
import json
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow.parquet as pq
import pytest
import requests
import yaml

from include.lake.lake import load_lake
from tests.conftest import ROOT
from tests.e2e.airflow_server import chromium, picture, standalone
from tests.e2e.test_rotation import let_in, pair
from tests.e2e.test_stream import Streaming, declared, until

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def streaming(converged: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Streaming]:
    """The stream, running and fed."""
    with declared(converged, tmp_path_factory.mktemp("declared"), "payments-life") as made:
        source = made.simulate("--rate=200", "--flat", "--start=now")
        try:
            made.lake("stream", "start")
            until("the first batches", lambda: made.batches() >= 2)
            yield made
        finally:
            source.terminate()
            source.wait(60)


def test_the_dashboard_shows_it_live(streaming: Streaming, tmp_path_factory: pytest.TempPathFactory) -> None:
    with standalone(streaming.site, tmp_path_factory.mktemp("airflow"), None, declared=streaming.file) as airflow, chromium() as browser:
        page = browser.new_page(viewport={"width": 1440, "height": 900}, base_url=airflow.url)
        page.goto("/plugin/homelake-jobs")
        inside = page.frame_locator("iframe")
        inside.get_by_role("link", name="payments-stream").first.click(timeout=60_000)  # below it may stand earlier ones
        row = inside.get_by_role("row", name=re.compile("silver"))
        row.wait_for(timeout=60_000)
        inside.get_by_text("silver, rows a second").wait_for(timeout=30_000)
        until("rows a second", lambda: any(float(n) > 20 for n in re.findall(r"[\d.]+", row.inner_text())), 60)
        page.wait_for_timeout(30_000)  # so that the lines have a course
        picture(page, "dashboard-stream")
        seen = next(a for a in airflow.session.get(f"{airflow.url}/homelake/api/snapshot", timeout=30).json()["applications"] if a["name"] == "payments-stream")
    silver = next(q for q in seen["queries"] if q["name"] == "silver")
    assert silver["input_rate"] > 20, silver
    assert silver["behind"] is not None, silver


def test_compaction_runs_beside_it(streaming: Streaming) -> None:
    until("batches to put together", lambda: streaming.batches() >= 27)
    before = streaming.batches()
    streaming.lake("airflow", "dags", "test", "payments_compact")
    made = json.loads(streaming.site.s3().get_object(Bucket="datalake", Key=f"{streaming.name}/_log/silver/compacted.json")["Body"].read())
    assert made["through"] >= 20, made["through"]
    until("a batch after it", lambda: streaming.batches() > before, 60)
    assert json.loads(streaming.lake("audit", "--json").stdout)["clean"] is True


def test_a_change_of_keys_restarts_it_at_a_batch_boundary(streaming: Streaming) -> None:
    old = pair(streaming.site)
    uid = streaming.kube("get", "pod", "payments-stream-driver", "-o", "jsonpath={.metadata.uid}")
    said = streaming.lake("rotate", "keys", "--wait", "400")
    text = said.stdout + said.stderr
    assert "batch boundary" in text, text
    assert pair(streaming.site) != old
    assert (let_in(streaming.site, *old), let_in(streaming.site, *pair(streaming.site))) == ("InvalidAccessKeyId", "yes")
    assert streaming.kube("get", "pod", "payments-stream-driver", "-o", "jsonpath={.metadata.uid}") != uid
    seen = streaming.batches()
    until("batches with the new keys", lambda: streaming.batches() > seen)
    assert json.loads(streaming.lake("audit", "--json").stdout)["clean"] is True


def test_a_changed_declaration_replaces_it_at_a_batch_boundary(streaming: Streaming) -> None:
    before = streaming.kube("get", "pod", "payments-stream-driver", "-o", "jsonpath={.metadata.uid}")
    declaration = yaml.safe_load(streaming.file.read_text())
    declaration["payments"]["trigger"] = "3 s"
    streaming.file.write_text(yaml.safe_dump(declaration, sort_keys=False))
    said = streaming.lake("stream", "start")
    assert "ends at its next batch boundary" in said.stdout + said.stderr, said.stdout + said.stderr
    assert "Changed: stream/payments" in said.stdout, said.stdout
    assert streaming.kube("get", "pod", "payments-stream-driver", "-o", "jsonpath={.metadata.uid}") != before
    seen = streaming.batches()
    until("batches as declared now", lambda: streaming.batches() > seen)
    assert json.loads(streaming.lake("audit", "--json").stdout)["clean"] is True


@contextmanager
def watched(streaming: Streaming) -> Iterator[Callable[[], set[str]]]:
    """While `./lake exporter` has the stream's figures; given is what tells the keys of the streams that the lake keeps."""
    folder = f"{load_lake(streaming.file).probe_prefix}_homelake/jobs/spark-jobs/"

    def kept() -> set[str]:
        found = streaming.site.s3().list_objects_v2(Bucket="datalake", Prefix=folder).get("Contents", [])
        return {o["Key"] for o in found if o["Key"].endswith("-payments-stream.parquet")}

    command = [str(ROOT / "lake"), "exporter", "--listen", "127.0.0.1:0"]
    exporter = subprocess.Popen(command, cwd=ROOT, env=streaming.site.lab.environment(streaming.environment), stdout=subprocess.PIPE, text=True)
    try:
        assert exporter.stdout
        url = exporter.stdout.readline().split()[0]
        figure = 'homelake_spark_pod_memory_working_set_bytes{application="payments-stream"'
        until("its figures", lambda: figure in requests.get(url, timeout=15).text, 90)
        yield kept
    finally:
        exporter.send_signal(signal.SIGINT)
        exporter.wait(60)


def test_a_micro_batch_takes_what_came_meanwhile_and_ends(streaming: Streaming) -> None:
    refused = streaming.lake("airflow", "dags", "test", "payments_micro_batch", check=False)
    assert "the stream payments-stream is there" in refused.stdout + refused.stderr
    with watched(streaming) as kept:
        already = kept()
        streaming.lake("stream", "stop")
        until("its course in the lake", lambda: kept() - already, 90)
        (key,) = kept() - already
    course = pq.read_table(io.BytesIO(streaming.site.s3().get_object(Bucket="datalake", Key=key)["Body"].read()), columns=["pod", "at", "memory"])
    assert {"total", "payments-stream-driver"} <= set(course["pod"].to_pylist())
    before = streaming.records("silver")
    time.sleep(5)
    streaming.lake("airflow", "dags", "test", "payments_micro_batch")
    assert streaming.records("silver") > before
    assert streaming.kube("get", "pods", "-l", "spark-role=driver", "--field-selector=status.phase=Running", "-o", "name") == ""
    assert json.loads(streaming.lake("audit", "--json").stdout)["clean"] is True
