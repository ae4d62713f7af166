"""`./lake usage` on a site in memory: what it prints is what the documentation shows, and its exit codes."""

import json
import os
import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from include import run_airflow
from include.commands import usage as command
from include.lake.errors import Unreachable
from include.lake.forecast import Point, to_json
from include.lake.lake import load_lake
from include.lake.resource import ensure
from include.lake.usage import Counters, Sample, Volume
from tests.fakes.site import FakeSite
from tests.unit.test_cli import run
from tests.unit.test_docs import DOCS, blocks

GIB = 2**30


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeSite:
    """A lake as declared, with 85 GiB in two names: one written twice, one deleted."""
    site = FakeSite()
    for resource in load_lake().resources():
        ensure(resource, site(resource.part))
    site.minio.versions["datalake"] = [("a", 5 * GIB), ("a", 80 * GIB), ("b", None)]
    site.minio.scan()
    monkeypatch.setattr(command, "Clients", lambda *args: site)
    monkeypatch.setattr(command, "command_line_connections", lambda: None)
    for name in [k for k in os.environ if k.startswith("AIRFLOW")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    return site


def test_what_it_prints_is_what_the_documentation_shows(site: FakeSite, capsys: pytest.CaptureFixture[str]) -> None:
    before = list(site.writes)
    code, out, err = run(capsys, "usage")
    assert (code, err) == (2, "")
    shown = re.sub(r"counted \d+ s ago", "counted 0 s ago", out.rstrip())
    assert shown in "\n".join(blocks(DOCS / "how-to/watch.md", "text"))
    assert site.writes == before
    assert site.closed == 1


@pytest.mark.parametrize(("gib", "code"), [(79, 0), (80, 2), (94, 2), (95, 1)])
def test_exit_codes(site: FakeSite, capsys: pytest.CaptureFixture[str], gib: int, code: int) -> None:
    site.minio.versions["datalake"] = [("a", gib * GIB)]
    site.minio.scan()
    got, out, _ = run(capsys, "usage")
    assert got == code
    assert ("FULL: bucket/datalake is 95.0% full" in out, "WARNING: bucket/datalake is" in out) == (code == 1, code == 2)


def test_json_is_the_whole_report(site: FakeSite, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "usage", "--json")
    found = json.loads(out)
    assert code == 2
    assert [(level["name"], level["mark"]) for level in found["levels"]] == [("bucket/datalake", "warn"), ("volume", "ok"), ("inodes", "ok")]
    assert found["buckets"][0]["noncurrent"] == {"count": 1, "size": 5 * GIB, "exact": True}


def test_a_part_out_of_reach_is_an_error_and_hides_nothing_of_the_other(site: FakeSite, capsys: pytest.CaptureFixture[str]) -> None:
    def gone() -> Counters:
        raise Unreachable("MinIO", "connection refused")

    site.minio.counters = gone  # type: ignore[method-assign]
    code, out, _ = run(capsys, "usage")
    assert code == 1
    assert "Unable to reach MinIO: connection refused." in out
    assert "volume" in out


def test_an_estimate_says_that_it_is_one_and_the_unknown_too(site: FakeSite, capsys: pytest.CaptureFixture[str]) -> None:
    site.minio.versions["datalake"] = [(f"{n:05d}", 1000) for n in range(1500) for _ in range(2)]
    site.minio.scan()
    _, out, _ = run(capsys, "usage")
    assert "~1,500" in out
    assert "~1.43 MiB" in out
    assert "~ is an estimate, from the first 1,000 versions" in out
    site.minio.sample = lambda bucket, most: Sample(False, 0, 0, 0, 0)  # type: ignore[method-assign]
    assert "unknown" in run(capsys, "usage")[1]
    site.minio.scanned = Counters(None, {})
    _, out, _ = run(capsys, "usage")
    assert "not counted yet" in out
    assert "MinIO has not counted yet." in out


def test_uploads_are_told_with_the_oldest(site: FakeSite, capsys: pytest.CaptureFixture[str]) -> None:
    site.host.fill = Volume(GIB, 9 * GIB, 1, 9, 2, 12 << 20, datetime(2026, 3, 1, 12, tzinfo=UTC))
    assert "Unfinished uploads: 2, 12 MiB, the oldest since 2026-03-01 12:00:00 UTC." in run(capsys, "usage")[1]


def test_a_forecast_reads_the_history_that_airflow_keeps(
    site: FakeSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "airflow.db").touch()
    now = datetime.now(UTC)
    history = tuple(Point(int((now - timedelta(hours=h)).timestamp()), {"volume": (5 * 24 - h) * GIB // 24}) for h in range(24, -1, -1))
    answer = subprocess.CompletedProcess([], 0, f"some warning\n{to_json(history)}\n", "")

    def airflow(args: list[str], **options: Any) -> Any:
        assert args[1:] == ["-m", "airflow", "variables", "get", "homelake_usage"]
        return answer

    monkeypatch.setattr(subprocess, "run", airflow)
    _, out, _ = run(capsys, "usage", "--forecast")
    line = next(line for line in out.splitlines() if line.startswith("volume"))
    assert line.split()[-3:] == ["+1", "GiB", f"{now + timedelta(days=495):%F}"]
    answer.stdout = "by hand"
    code, _, err = run(capsys, "usage", "--forecast")
    assert (code, err.startswith("Unable to read Airflow's variable homelake_usage: ")) == (1, True)


def test_without_a_history_a_forecast_is_refused_with_what_to_do(site: FakeSite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    (tmp_path / "airflow.db").touch()
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: subprocess.CompletedProcess([], 1, "", "Variable homelake_usage does not exist"))
    code, _, err = run(capsys, "usage", "--forecast")
    assert (code, err) == (1, "Unable to read Airflow's variable homelake_usage: Airflow has none here. Let lake_governance run, with the same AIRFLOW_HOME; or leave --forecast out.\n")  # fmt: skip


def test_a_forecast_makes_no_database(site: FakeSite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[object] = []
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: asked.append(a) or subprocess.CompletedProcess([], 1, "", ""))
    code, _, err = run(capsys, "usage", "--forecast")
    assert (code, asked) == (1, [])
    assert err.startswith("Unable to read Airflow's variable homelake_usage: Airflow has none here.")
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql://there")
    assert (run(capsys, "usage", "--forecast")[0], len(asked)) == (1, 1), "it has one elsewhere"


def test_the_projects_airflow_home_is_closed_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_airflow, "ROOT", tmp_path)
    monkeypatch.setattr(run_airflow, "_airflow", lambda *_: None)
    home = tmp_path / ".airflow"
    home.mkdir(mode=0o755)
    run_airflow.prepare({"AIRFLOW_HOME": str(home)})
    assert home.stat().st_mode & 0o777 == 0o700


def test_airflows_database_is_prepared_once_for_each_airflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    monkeypatch.setattr(run_airflow, "_airflow", lambda argv, _: made.append(" ".join(argv[:2])))
    (tmp_path / "airflow.db").touch()
    for now, wanted in (("3.3.2", True), ("3.3.2", False), ("3.4.0", True), ("3.4.0", False)):
        monkeypatch.setattr(run_airflow, "version", lambda name, now=now: now)
        made.clear()
        run_airflow.prepare({"AIRFLOW_HOME": str(tmp_path)})
        assert ("db migrate" in made) is wanted
