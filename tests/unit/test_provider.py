"""Homelake's connection types, as Airflow finds them and as its forms and its test button use them."""

import json
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import airflow
import jsonschema
import pytest

from include.adapters.minio import MinioServer
from include.adapters.proxmox import Proxmox
from include.lake.errors import Unreachable
from include.operators import hooks
from include.operators.provider import provider_info
from include.settings import ROOT

TYPES = {t["connection-type"]: t for t in provider_info()["connection-types"]}


def _schema(name: str) -> Any:
    return json.loads((Path(airflow.__file__).parent / name).read_text(encoding="utf-8"))


def test_it_has_the_form_that_airflow_reads() -> None:
    jsonschema.validate(provider_info(), _schema("provider_info.schema.json"))
    # The stricter one, which says what a form's fields may be.
    jsonschema.validate(provider_info()["connection-types"], _schema("provider.yaml.schema.json")["properties"]["connection-types"])


def test_it_is_found_on_the_projects_root_alone() -> None:
    (dist,) = distributions(path=[str(ROOT)])
    assert dist.metadata["Name"] == provider_info()["package-name"]
    assert dist.version == tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    (entry,) = dist.entry_points
    assert entry.group == "apache_airflow_provider"
    assert entry.load() is provider_info


def test_telling_airflow_of_it_imports_neither_airflow_nor_an_adapter() -> None:
    code = "import sys, include.operators.provider; print([m for m in sys.modules if m.split('.')[0] in ('airflow', 'minio', 'proxmoxer', 'paramiko')])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("hook", [hooks.ProxmoxHook, hooks.MinioHook])
def test_each_type_names_its_hook(hook: Any) -> None:
    entry = TYPES[hook.conn_type]
    assert entry["hook-class-name"] == f"{hook.__module__}.{hook.__qualname__}"
    assert entry["hook-name"] == hook.hook_name
    assert getattr(hook(**{hook.conn_name_attr: "x"}), hook.conn_name_attr) == "x"
    assert {"host", "login", "password"} <= set(entry["ui-field-behaviour"]["relabeling"])


def test_the_fields_are_those_that_the_adapters_read() -> None:
    assert set(TYPES["minio"]["conn-fields"]) == {"region", "ca"}
    assert set(TYPES["proxmox"]["conn-fields"]) == {"ca"}


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> str:
    value = "a-secret-that-nobody-sees"
    for name, host, login in (("PROXMOX", "https://127.0.0.1:1", "homelake@pve!bootstrap"), ("MINIO_ADMIN", "http://127.0.0.1:1", "lakeroot")):
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", json.dumps({"conn_type": name.split("_")[0].lower(), "host": host, "login": login, "password": value}))
    return value


def test_the_button_says_why_it_failed_and_no_secret(secret: str) -> None:
    for hook, cause in ((hooks.ProxmoxHook(), "connection refused"), (hooks.MinioHook(), "connection refused")):
        good, said = hook.test_connection()
        assert not good
        assert said.startswith("Unable to reach ")
        assert cause in said
        assert secret not in said


def test_the_button_is_green_when_the_part_answers(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Proxmox, "call", lambda self, method, path: {"version": "9.0.3"})
    monkeypatch.setattr(MinioServer, "bucket_names", lambda self: ["datalake"])
    assert hooks.ProxmoxHook().test_connection() == (True, "Proxmox VE 9.0.3 answers, and knows the token")
    assert hooks.MinioHook().test_connection() == (True, "MinIO answers, and has 1 bucket")


def test_a_connection_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(conn_id: str) -> Any:
        raise Unreachable(f"the connection {conn_id!r}", "it is not there")

    monkeypatch.setattr(hooks, "airflow_connection", refuse)
    assert hooks.MinioHook().test_connection() == (False, "Unable to reach the connection 'minio_admin': it is not there.")
