"""`./lake top` on the recorded sweeps, and `./lake exporter` as a Prometheus asks it."""

import threading
import urllib.error
import urllib.request
from dataclasses import replace
from http.server import ThreadingHTTPServer

import pytest

from include.adapters.metrics.collector import Collector
from include.cli import main
from include.commands.exporter import handler
from include.commands.top import lines
from include.lake.metrics.fold import Sweep
from include.lake.metrics.view import Snapshot
from tests.unit.lake.metrics.made import recorded_sweep
from tests.unit.lake.metrics.test_exposition import snapshot


class Recording:
    """The recorded sweeps, one after the other."""

    def __init__(self) -> None:
        self.number = 0

    def gather(self) -> Sweep:
        self.number = min(self.number + 1, 2)
        return recorded_sweep(self.number)

    def log(self, namespace: str, pod: str, lines: int) -> str:
        return ""


def test_a_job_stands_with_its_pods_and_queries_and_how_old_that_is() -> None:
    shot = snapshot()
    text = lines(shot, shot.at + 4, 100)
    stream = next(a for a in shot.applications if a.stream)
    at = next(i for i, line in enumerate(text) if line.startswith("payments-stream "))
    assert stream.now
    assert f"{stream.now.cpu:.2f}" in text[at]
    assert text[at].endswith(f"{shot.at + 4 - stream.now.at:.0f} s")
    assert [line.split()[0] for line in text[at + 1 : at + 5]] == ["driver", "executor", "bronze", "silver"]
    assert "MEMORY" in text[1]


def test_it_keeps_to_the_window_and_says_what_is_left_out() -> None:
    shot = snapshot()
    assert len(lines(shot, shot.at, 4)) == 4
    assert lines(shot, shot.at, 4)[-1].startswith("… ")


def test_problems_stand_first_and_an_empty_cluster_says_what_to_do() -> None:
    away = Snapshot(1.0, 2.0, 0.1, 1, problems=("Unable to reach Kubernetes at https://k: refused. Check the connection.",))
    text = lines(away, 2.0, 50)
    assert text[1].startswith("! Unable to reach Kubernetes")
    assert "lake_spark" in text[-1]


def test_a_job_out_of_memory_says_so() -> None:
    shot = snapshot()
    app = shot.applications[0]
    gone = replace(app, phase="failed", churn=replace(app.churn, out_of_memory=1))
    assert any("out of memory" in line for line in lines(replace(shot, applications=(gone,)), shot.at, 50))


def test_a_scrape_gets_the_newest_sweep_and_nothing_else_is_there() -> None:
    looking = Collector(Recording())
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(looking))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    try:
        looking.sweep()
        with urllib.request.urlopen(f"{base}/metrics", timeout=10) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            assert 'homelake_spark_application_phase{application="payments-stream"' in answer.read().decode()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{base}/", timeout=10)
    finally:
        server.shutdown()
        server.server_close()


def test_an_address_that_is_none_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["exporter", "--listen", "9109"]) == 1
    assert "Unable to listen at 9109: that is no ADDRESS:PORT. Write it as 127.0.0.1:9109." in capsys.readouterr().err
