"""Airflow once for all tests of this folder: its home is a folder of its own, there is no database, and every way out is watched.

The DAGs are read here, before any test module imports an operator, so that what their first import does is seen.
"""

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from tests.fakes.declared import FILE
from tests.fakes.site import FakeSite

ROOT = Path(__file__).resolve().parents[2]
MARK = "s3cret-of-the-environment"  # stands in every secret the environment has while the DAGs are read
HOME = tempfile.TemporaryDirectory(prefix="homelake-airflow-")
ENVIRONMENT = {
    "AIRFLOW_HOME": HOME.name,
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": f"{HOME.name}/plugins",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME.name}/never-made.db",
    **{f"AIRFLOW_CONN_{c}": f'{{"conn_type": "x", "host": "http://127.0.0.1:1", "login": "u", "password": "{MARK}"}}' for c in ("PROXMOX", "LAKE_HOST", "MINIO_ADMIN", "LAKE_S3")},
}  # fmt: skip


class Reading:
    """The DAGs as Airflow reads them, the ways out that their code tried, and the processor time it took (seconds)."""

    def __init__(self) -> None:
        from airflow.dag_processing.dagbag import DagBag

        self.tried: list[str] = []
        with self._watched():
            began = time.process_time()
            self.bag = DagBag(str(ROOT / "dags"))
            self.first = time.process_time() - began
            began = time.process_time()
            DagBag(str(ROOT / "dags"))
            self.again = time.process_time() - began

    @contextmanager
    def _watched(self) -> Iterator[None]:
        from airflow.sdk import BaseHook, Variable

        def way(name: str) -> Callable[..., Any]:
            def tried(*args: Any, **options: Any) -> Any:
                self.tried.append(f"{name}{args[:2]}")
                raise AssertionError(f"{name} while a DAG is read")

            return tried

        ways: list[tuple[Any, str]] = [(socket.socket, "connect"), (socket, "create_connection"), (socket, "getaddrinfo"), (subprocess, "Popen"), (os, "system"),
                (BaseHook, "get_connection"), (Variable, "get"), (Variable, "set")]  # fmt: skip
        with ExitStack() as stack:
            for where, name in ways:
                stack.enter_context(mock.patch.object(where, name, way(f"{getattr(where, '__name__', where)}.{name}")))
            yield


def _read(**more: str) -> Reading:
    # What the tests after these see of the environment is what it was before.
    with mock.patch.dict(os.environ, ENVIRONMENT | more):
        import airflow  # noqa: F401 (it reads its home from the environment now)

        return Reading()


READING = _read()
STREAMING = _read(HOMELAKE_FILE=str(FILE))  # with payments declared: more DAGs


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def reading() -> Reading:
    """The DAGs, and what reading them did."""
    return READING


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> FakeSite:
    """A site in memory, as the clients of every task."""
    from airflow.sdk.bases.operator import ExecutorSafeguard

    import include.operators.base as base

    site = FakeSite()
    monkeypatch.setattr(base, "clients", lambda say: site)
    monkeypatch.setattr(ExecutorSafeguard, "test_mode", True)
    return site


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Airflow's variables, in memory."""
    from include.operators import governance
    from tests.dags.governed import Variables

    made = Variables()
    monkeypatch.setattr(governance, "Variable", made.Variable)
    return made


@pytest.fixture
def lake(site: FakeSite, variables: Any) -> FakeSite:
    """A site in memory with a lake as declared, counted by MinIO."""
    from tests.dags.runs import bootstrap

    bootstrap()
    site.minio.scan()
    return site
