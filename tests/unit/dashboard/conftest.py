"""Airflow's own login for the page: its real auth manager with three users, and a database of its own, made for these tests."""

import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

with warnings.catch_warnings(action="ignore"):  # it asks for an httpx that Airflow does not have yet
    import starlette.testclient  # noqa: F401

HOME = tempfile.TemporaryDirectory(prefix="homelake-dashboard-")
if "airflow" not in sys.modules:  # it reads its home once
    os.environ["AIRFLOW_HOME"] = HOME.name
ENVIRONMENT = {
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:ADMIN,viewer:VIEWER",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": f"{HOME.name}/passwords.json",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME.name}/dashboard.db",
    "AIRFLOW__API_AUTH__JWT_SECRET": "a secret of these tests, and of nothing else: 64 bytes are asked",
    "_AIRFLOW_PROCESS_CONTEXT": "server",  # as in the API server
}


@pytest.fixture(scope="package")
def airflow() -> Iterator[Any]:
    """The auth manager, as the API server has it, on a database with Airflow's own tables."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        from airflow import settings
        from airflow.api_fastapi.app import init_auth_manager, purge_cached_app
        from airflow.models import import_all_models
        from airflow.models.base import Base

        purge_cached_app()
        _connect()
        import_all_models()
        Base.metadata.create_all(settings.engine)
        yield init_auth_manager()
        purge_cached_app()
    _connect()  # to what was there before


def _connect() -> None:
    from airflow import settings

    settings.dispose_orm()
    settings.configure_vars()
    settings.configure_orm()


@pytest.fixture
def token(airflow: Any) -> Callable[[str, str | None], str]:
    """The token that Airflow gives to a user of a role; without a role they may do nothing."""
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    return lambda name, role: str(airflow.generate_jwt(SimpleAuthManagerUser(username=name, role=role)))


@pytest.fixture
def static(tmp_path: Path) -> Path:
    """A built page."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><title>page</title>")
    (tmp_path / "assets" / "index-DkP3x_9a.js").write_text("console.log(1)")
    (tmp_path / "favicon.svg").write_text("<svg/>")
    return tmp_path
