"""What stands behind the page in Airflow: its connections, the declaration, one collector; and what is told when they are not there."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from include.dashboard import services as module
from include.dashboard.lake_view import LakeView
from include.dashboard.services import Kept, Services, of_airflow
from tests.unit.dashboard.stand_ins import Site, Sweeps, application

KUBE = {"clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}], "users": [{"name": "u", "user": {"token": "the-t0ken"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}], "current-context": "x"}  # fmt: skip


@pytest.fixture
def connections(airflow: Any) -> Iterator[Any]:
    """Keeps a connection in Airflow's database."""
    from airflow.models.connection import Connection
    from airflow.settings import engine
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    def keep(conn_id: str, conn_type: str, extra: dict[str, Any], **more: Any) -> None:
        with create_session(scoped=False) as session:
            session.add(Connection(conn_id=conn_id, conn_type=conn_type, extra=json.dumps(extra), **more))

    yield keep
    with engine.begin() as db:
        db.execute(delete(Connection))


@pytest.fixture
def real(airflow: Any) -> Iterator[Services]:
    services = of_airflow()
    yield services
    services.close()


def test_connections_are_those_that_airflow_keeps(real: Services, connections: Any) -> None:
    connections("kubernetes_default", "kubernetes", {"kube_config": json.dumps(KUBE)})
    connections("lake_s3", "aws", {"endpoint_url": "http://127.0.0.1:9", "region_name": "r1"}, login="root", password="hunter2")
    snapshot = real.snapshot()
    assert snapshot.applications == ()
    assert any("connection refused" in p for p in snapshot.problems), snapshot.problems
    assert not [p for p in snapshot.problems if "the-t0ken" in p]
    past: Any = real.past
    assert (past.s3.meta.endpoint_url, past.bucket) == ("http://127.0.0.1:9", "datalake")
    assert real.collector is real.collector


def test_keys_that_were_rotated_are_used(real: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    def has(password: str) -> Any:
        extra = {"endpoint_url": "http://127.0.0.1:9", "region_name": "r1"}
        monkeypatch.setenv("AIRFLOW_CONN_LAKE_S3", json.dumps({"conn_type": "aws", "login": "root", "password": password, "extra": extra}))
        return real.past

    first: Any = has("hunter2")
    assert has("hunter2") is first, "what it has read is not read again"
    assert has("hunter3") is not first


def test_without_a_connection_it_is_told_and_once_it_is_there_used(real: Services, connections: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert real.snapshot().problems == (
        "Unable to find the connection 'kubernetes_default': it is not configured. Add it in Admin → Connections, or see docs/how-to/real-site.md.",
    )
    monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", json.dumps({"conn_type": "kubernetes", "extra": {"kube_config": json.dumps(KUBE)}}))
    assert any("connection refused" in p for p in real.snapshot().problems)


def test_the_console_is_beside_the_endpoint_that_the_connection_names(airflow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "read", LakeView)
    lake = of_airflow().lake
    assert lake().console == "", "no connection, no link"
    for host, console in (
        ("https://minio.example.org:9000", "https://minio.example.org:9001/"),
        ("http://[fd00::1]:9000", "http://[fd00::1]:9001/"),
        ("javascript:x", ""),
    ):
        monkeypatch.setenv("AIRFLOW_CONN_MINIO_ADMIN", json.dumps({"conn_type": "generic", "host": host}))
        assert lake().console == console


def test_a_declaration_that_is_not_valid_is_told(real: Services, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "lake.yaml").write_text("nonsense: 1\n")
    monkeypatch.setenv("HOMELAKE_FILE", str(tmp_path / "lake.yaml"))
    for problems in (real.lake().problems, real.snapshot().problems):
        assert len(problems) == 1
        assert problems[0].startswith(f"Unable to read {tmp_path}/lake.yaml")


def test_a_database_that_fails_is_told_without_its_words() -> None:
    def broken() -> Any:
        raise RuntimeError("password=hunter2")

    view = Services(Sweeps, Any, broken).lake()  # type: ignore[arg-type]
    assert view.problems == ("Unable to read how the lake stands: RuntimeError. The API server's log says more.",)


def test_one_is_made_however_many_ask_at_once() -> None:
    made: list[object] = []
    gate = threading.Barrier(8)

    def make() -> object:
        made.append(object())
        return made[-1]

    kept = Kept(make)

    def ask() -> object:
        gate.wait()
        return kept()

    with ThreadPoolExecutor(8) as pool:
        asked = [f.result() for f in [pool.submit(ask) for _ in range(8)]]
    assert len(made) == len(set(map(id, asked))) == 1


def test_the_first_sweep_is_waited_for_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site()
    monkeypatch.setattr(module, "FIRST", 0.05)
    assert site.snapshot().problems == ("Unable to show the Spark jobs: no sweep of the cluster ended within 0 s. It is tried again.",)
    monkeypatch.setattr(module, "FIRST", 10)
    threading.Timer(0.05, site.sweeps.sweep, (application(),)).start()
    assert [a.name for a in site.snapshot().applications] == ["job-1"]
    assert site.sweeps.started == 1


def test_closing_what_was_never_asked_for_starts_nothing() -> None:
    site = Site()
    site.close()
    assert site.sweeps.started == site.sweeps.stopped == 0
