"""The service, read from what the guest's script prints (its parts are those that systemctl show and cat give)."""

from dataclasses import replace

import pytest

from include.adapters.host.service import parse_service
from include.lake.lake import load_lake
from include.lake.resources.service import ServiceState
from include.lake.secret import Secret

LAKE = load_lake()
DECLARED = LAKE.minio_service.desired
assert DECLARED
ENVIRONMENT = DECLARED.environment or ()
AS_DECLARED = replace(DECLARED, credentials=Secret("lakeroot:s3cret=word:x"))


def output(**changes: str) -> str:
    facts = {
        "mode": "640:root", "UnitFileState": "enabled", "ActiveState": "active", "MainPID": "812", "NeedDaemonReload": "no",
        "program": "current", "settings": "current", "serving": "yes",
    } | changes  # fmt: skip
    unit = facts.pop("unit", DECLARED.unit or "")
    file = facts.pop("file", "\n".join(["# Written by Homelake", "", *ENVIRONMENT, "MINIO_ROOT_USER=lakeroot", "MINIO_ROOT_PASSWORD=s3cret=word:x", ""]))
    lines = "\n".join(f"{k}={v}" for k, v in facts.items() if v != "-")
    return f"<unit>\n{unit}</unit>\n<settings>\n{file}</settings>\n{lines}\n"


def test_what_homelake_writes_reads_as_declared() -> None:
    assert parse_service(output()) == AS_DECLARED


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"mode": "600:root"}, AS_DECLARED),
        ({"mode": "644:root"}, replace(AS_DECLARED, closed=False)),
        ({"mode": "640:minio-user"}, replace(AS_DECLARED, closed=False)),
        ({"mode": "644:root", "file": "MINIO_VOLUMES=/data\n"}, replace(AS_DECLARED, environment=("MINIO_VOLUMES=/data",), credentials=Secret(":"), closed=False)),
        ({"UnitFileState": "disabled"}, replace(AS_DECLARED, enabled=False)),
        ({"UnitFileState": ""}, replace(AS_DECLARED, enabled=False)),
        ({"serving": "-"}, replace(AS_DECLARED, serving=False)),
        ({"program": "-"}, replace(AS_DECLARED, current=False)),
        ({"settings": "-"}, replace(AS_DECLARED, current=False)),
        ({"start": "outdated"}, replace(AS_DECLARED, current=False)),
        ({"NeedDaemonReload": "yes"}, replace(AS_DECLARED, current=False)),
        ({"MainPID": "0", "program": "-", "settings": "-", "serving": "-", "ActiveState": "inactive"}, replace(AS_DECLARED, serving=False)),
        ({"unit": ""}, replace(AS_DECLARED, unit=None)),
        ({"unit": "[Unit]\nDescription=x\n"}, replace(AS_DECLARED, unit="[Unit]\nDescription=x\n")),
    ],
)  # fmt: skip
def test_each_difference_shows_in_its_own_field(changes: dict[str, str], state: ServiceState) -> None:
    assert parse_service(output(**changes)) == state


def test_a_setting_someone_added_is_seen() -> None:
    text = output().replace("MINIO_ROOT_USER", "MINIO_BROWSER=off\nMINIO_ROOT_USER")
    assert parse_service(text).environment == (*ENVIRONMENT, "MINIO_BROWSER=off")


def test_without_settings_there_are_no_credentials() -> None:
    state = parse_service(output(file="", mode=""))
    assert state.credentials == Secret(":")
    assert state.environment is None


def test_what_was_read_shows_no_password() -> None:
    assert "s3cret" not in repr(parse_service(output()))
