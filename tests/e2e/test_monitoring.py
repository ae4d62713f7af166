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
from typing import Any

import pytest
import requests
import yaml

from include.lake.metrics.exposition import exposition
from lab.prometheus import programs
from tests.conftest import ROOT
from tests.e2e.test_alerts import RULES, alerts
from tests.unit.lake.metrics.test_exposition import known

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
GRAFANA = ROOT / "monitoring/grafana.json"


def told() -> str:
    """The figures of the recorded jobs, with all that a cluster and a lake may tell: a bucket differs, and is 90 % full."""
    shot, lake = known()
    return exposition(replace(shot, at=time.time()), {**lake, "checked": time.time()})


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


def get(url: str, path: str, **params: str) -> Any:
    """What Prometheus answers; an error of its own fails the test."""
    answer = requests.get(f"{url}/api/v1/{path}", params=params, timeout=10).json()
    assert answer["status"] == "success", answer
    return answer["data"]


def test_prometheus_loads_every_rule_and_none_fails(prometheus: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        rules = {rule["name"]: rule for group in get(prometheus, "rules")["groups"] for rule in group["rules"]}
        if all(rule["health"] != "unknown" for rule in rules.values()) or time.monotonic() > deadline:
            break
        time.sleep(0.5)  # not every rule was evaluated yet
    assert set(rules) == set(alerts())
    assert {name: rule.get("lastError") for name, rule in rules.items() if rule["health"] != "ok"} == {}


def test_the_figures_fire_their_alerts_with_texts_that_are_whole(prometheus: str) -> None:
    deadline = time.monotonic() + 30
    told: dict[str, Any] = {}
    while len(told) < 2 and time.monotonic() < deadline:
        told = {a["labels"]["alertname"]: a for a in get(prometheus, "alerts")["alerts"] if a["state"] == "firing"}
    assert set(told) == {"LakeDrifted", "LakeFillsUp"}
    for alert in told.values():
        for text in alert["annotations"].values():
            assert "{{" not in text and "<" not in text, text
    assert told["LakeFillsUp"]["annotations"]["description"].startswith("Unable to promise room for bucket datalake of homelake: 90% is in use,")


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(GRAFANA.read_text())
    return found


def queries() -> list[tuple[str, str]]:
    return [(panel["title"], target["expr"]) for panel in dashboard()["panels"] for target in panel.get("targets", ())]


def filled(query: str) -> str:
    """As Grafana asks it while all namespaces and applications are chosen."""
    return query.replace("$namespace", ".*").replace("$application", ".*")


@pytest.mark.parametrize(("title", "query"), queries())
def test_every_query_of_the_dashboard_finds_figures(prometheus: str, title: str, query: str) -> None:
    assert get(prometheus, "query", query=filled(query))["result"], f"{title}: {query} finds nothing"


def test_the_variables_of_the_dashboard_find_what_to_choose(prometheus: str) -> None:
    found = {}
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
            assert asked, variable["query"]
            found[variable["name"]] = set(get(prometheus, f"label/{asked[2]}/values", **{"match[]": filled(asked[1])}))
    shot, _ = known()
    assert found == {"namespace": {a.namespace for a in shot.applications}, "application": {a.name for a in shot.applications}}


def test_the_dashboard_names_no_prometheus_of_its_own() -> None:
    sources = [part["datasource"] for part in (*dashboard()["panels"], *dashboard()["templating"]["list"]) if "datasource" in part]
    assert sources and all(source == {"type": "prometheus", "uid": "${source}"} for source in sources)


def test_the_panels_of_the_dashboard_stand_side_by_side() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = [(x, y) for p in (panel["gridPos"] for panel in panels) for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    assert len(set(taken)) == len(taken), "two panels lie on each other"
    assert max(x for x, _ in taken) < 24
