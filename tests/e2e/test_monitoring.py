"""Debian's Prometheus with our rules and every query of the Grafana dashboard, on figures that the product makes. No lab is needed."""

import json
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from include.lake.metrics.exposition import exposition
from include.lake.metrics.view import Snapshot
from lab.prometheus import programs
from tests.conftest import ROOT
from tests.unit.lake.metrics.test_exposition import LAKE, snapshot

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
RULES, GRAFANA = ROOT / "monitoring/homelake.rules.yml", ROOT / "monitoring/grafana.json"
JOB = '{namespace="n",application="a"'
# Each alert: the series that deserve it, and the same when all is well. `x` repeats, so that `for` is waited out.
CASES = {
    "SparkPodNearItsMemoryLimit": [("homelake_spark_pod_memory_working_set_bytes" + JOB + ',pod="p"}', "97x30", "50x30"), ("homelake_spark_pod_memory_limit_bytes" + JOB + ',pod="p"}', "100x30", "100x30")],
    "SparkPodOutOfMemory": [("homelake_spark_application_out_of_memory_kills_total" + JOB + "}", "0x10 1x20", "0x30")],
    "SparkJobFailed": [("homelake_spark_application_phase" + JOB + ',phase="failed"}', "1x30", "0x30"), ("homelake_spark_application_end_timestamp_seconds" + JOB + "}", "60x30", "60x30")],
    "SparkJobWaits": [("homelake_spark_application_phase" + JOB + ',phase="waiting"}', "1x30", "1x5 0x25")],
    "StreamFallsBehind": [("homelake_stream_input_rows_per_second" + JOB + ',query="q"}', "200x30", "200x30"), ("homelake_stream_processed_rows_per_second" + JOB + ',query="q"}', "150x30", "900x30")],
    "StreamWatermarkStuck": [("homelake_stream_watermark_delay_seconds" + JOB + ',query="q"}', "1000x30", "61x30")],
    "LakeFillsUp": [('homelake_lake_used_bytes{level="volume"}', "81x30", "60x30"), ('homelake_lake_limit_bytes{level="volume"}', "100x30", "100x30")],
    "LakeFullWithinAWeek": [('homelake_lake_used_bytes{level="volume"}', "60x30", "60x30"), ('homelake_lake_limit_bytes{level="volume"}', "100x30", "100x30"), ('homelake_lake_growth_bytes_per_day{level="volume"}', "8x30", "2x30")],
    "LakeDrifted": [('homelake_lake_resource_status{resource="bucket/b",status="changes"}', "1x30", "0x30")],
    "LakePartUnreachable": [('homelake_lake_resource_status{resource="bucket/b",status="unreachable"}', "1x30", "0x30")],
    "LakeNotChecked": [("homelake_lake_check_timestamp_seconds", "-20000x30", "0x30")],
    "HomelakeCollectorStale": [("homelake_collector_sweep_timestamp_seconds", "-1000x30", "0+60x30")],
}  # fmt: skip


def promtool(*args: Any, cwd: Path) -> str:
    done = subprocess.run([programs() / "promtool", *args], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}


def test_every_rule_is_tried_and_leads_to_a_page_that_is_there() -> None:
    assert set(alerts()) == set(CASES)
    for name, rule in alerts().items():
        page, _, place = rule["annotations"]["runbook"].partition("#")
        text = (ROOT / page).read_text()
        headings = {re.sub(r"[^a-z0-9 -]", "", h.lower()).strip().replace(" ", "-") for h in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
        assert not place or place in headings, f"{name}: {page} has no {place}"


@pytest.mark.parametrize("alert", CASES)
def test_an_alert_fires_when_it_should_and_only_then(alert: str, tmp_path: Path) -> None:
    promtool("check", "rules", RULES, cwd=tmp_path)
    for column, fires in ((1, True), (2, False)):
        series = [{"series": case[0], "values": " ".join(_expanded(v) for v in case[column].split())} for case in CASES[alert]]
        query = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) or vector(0)'
        expected = [{"labels": "{}", "value": 1 if fires else 0}]
        test = {
            "interval": "1m",
            "input_series": series,
            "promql_expr_test": [{"expr": query, "eval_time": "25m" if alert != "SparkPodOutOfMemory" else "15m", "exp_samples": expected}],
        }
        file = tmp_path / f"{fires}.yml"
        file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]}))
        promtool("test", "rules", file, cwd=tmp_path)


def _expanded(values: str) -> str:
    """`5x3` stands for 5 three times more; promtool writes it `5+0x3`."""
    start, _, times = values.partition("x")
    return f"{start}{'' if '+' in start else '+0'}x{times}"


def told() -> str:
    """The figures of a recorded stream, with all that a cluster and a lake may tell."""
    shot = snapshot()
    apps = tuple(
        replace(
            a,
            queries=tuple(replace(q, behind=12.0) for q in a.queries),
            ended=a.ended or time.time() - 60,
            pods=tuple(replace(p, now=replace(p.now, gc=0.01, disk=1.0, received=1.0, sent=1.0)) if p.now else p for p in a.pods),
        )
        for a in shot.applications
    )
    whole = Snapshot(time.time(), 2.0, 0.1, 9, apps)
    return exposition(whole, {**LAKE, "checked": time.time()})


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus that scrapes the figures every second, with our rules."""

    class Scrape(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = told().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Scrape)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    folder = tmp_path_factory.mktemp("prometheus")
    config = yaml.safe_load((ROOT / "monitoring/prometheus.yml").read_text())
    own = {"job_name": "homelake", "static_configs": [{"targets": [f"127.0.0.1:{server.server_port}"]}]}
    config |= {"global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": [str(RULES)], "scrape_configs": [own]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        programs() / "prometheus",
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while not _scraped(url):
            assert process.poll() is None, (folder / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, (folder / "log").read_text()[-2000:]
            time.sleep(0.3)
        time.sleep(3)  # a rate takes two scrapes
        yield url
    finally:
        process.terminate()
        process.wait(20)
        server.shutdown()
        server.server_close()


def _scraped(url: str) -> bool:
    try:
        found = requests.get(f"{url}/api/v1/query", params={"query": "homelake_lake_check_timestamp_seconds"}, timeout=5).json()
    except (requests.RequestException, ValueError):
        return False
    return bool(found.get("data", {}).get("result"))


def test_prometheus_loads_every_rule_and_none_fails(prometheus: str) -> None:
    groups = requests.get(f"{prometheus}/api/v1/rules", timeout=10).json()["data"]["groups"]
    rules = {rule["name"]: rule for group in groups for rule in group["rules"]}
    assert set(rules) == set(CASES)
    assert {name: rule["lastError"] for name, rule in rules.items() if rule.get("lastError")} == {}
    firing = {a["labels"]["alertname"] for a in requests.get(f"{prometheus}/api/v1/alerts", timeout=10).json()["data"]["alerts"] if a["state"] == "firing"}
    assert {"LakeDrifted", "LakeFillsUp"} <= firing, "the figures say that a bucket differs and is 90 % full"


def queries() -> list[tuple[str, str]]:
    return [(panel["title"], target["expr"]) for panel in json.loads(GRAFANA.read_text())["panels"] for target in panel.get("targets", ())]


@pytest.mark.parametrize(("title", "query"), queries())
def test_every_query_of_the_dashboard_finds_figures(prometheus: str, title: str, query: str) -> None:
    text = query.replace("$namespace", ".*").replace("$application", ".*")
    answer = requests.get(f"{prometheus}/api/v1/query", params={"query": text}, timeout=10).json()
    assert answer["status"] == "success", answer
    assert answer["data"]["result"], f"{title}: {text} finds nothing"
