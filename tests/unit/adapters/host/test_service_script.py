"""Whether what runs is current, asked by the guest's own script of a process that runs here."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.lake.resources.service import ServiceState
from tests.unit.adapters.host.scripts import Here

SETTINGS = {"MINIO_VOLUMES": "/data", "MINIO_ROOT_USER": "root", "MINIO_ROOT_PASSWORD": "a-good-password"}


class Running(Here):
    """A guest with a service that runs, and with what systemd says of it."""

    def __init__(self, root: Path, pid: int) -> None:
        super().__init__(root)
        self.pid, self.reload, self.invocation = pid, "no", "4d1f"
        self.file("/etc/default/minio").write_text("".join(f"{k}={v}\n" for k, v in SETTINGS.items()))
        self.file("/etc/systemd/system/minio.service").write_text("[Unit]\n")
        self.file("/usr/local/bin/minio").symlink_to(f"/proc/{pid}/exe")

    def state(self) -> ServiceState:
        self._say_of_it()
        state = self.service("minio", 1)
        assert state
        return state

    def write_unit(self, name: str, text: str) -> None:
        self._say_of_it()
        super().write_unit(name, text)

    def _say_of_it(self) -> None:
        told = f"MainPID={self.pid}\\nNeedDaemonReload={self.reload}\\nJob=\\nUnitFileState=enabled\\nInvocationID={self.invocation}\\n"
        self.stand_in("systemctl", f'case "$*" in *--value) echo {self.invocation};; show*) printf "{told}";; esac')


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Running]:
    process = subprocess.Popen([shutil.which("sleep") or "sleep", "60"], env=os.environ | SETTINGS)
    yield Running(tmp_path, process.pid)
    process.kill()
    process.wait()


def test_what_runs_with_its_program_and_its_settings_is_current(guest: Running) -> None:
    assert guest.state().current
    guest.reload = "yes"
    assert not guest.state().current


def test_a_unit_that_was_written_later_comes_into_force_though_systemd_was_told_of_it_by_others(guest: Running) -> None:
    """A run was killed before its restart; then apt, or a line of /etc/fstab, has systemd read its units anew."""
    guest.write_unit("minio", "[Unit]\nDescription=new\n")
    for reload in ("yes", "no"):
        guest.reload = reload
        assert not guest.state().current
    guest.invocation = "77aa"  # it was started anew
    assert guest.state().current
    guest.write_unit("minio", "[Unit]\n")
    assert not guest.state().current


@pytest.mark.parametrize("invocation", ["", "77aa"])
def test_a_unit_that_was_written_while_nothing_ran_is_in_force_once_it_runs(guest: Running, invocation: str) -> None:
    guest.invocation = ""
    guest.write_unit("minio", "[Unit]\n")
    guest.invocation = invocation  # none: a systemd that tells none
    assert guest.state().current


def test_nothing_is_left_of_a_service_that_is_removed(guest: Running) -> None:
    guest.write_unit("minio", "[Unit]\n")
    guest.stand_in("systemctl", '[ "$1" != is-active ]')
    guest.remove_service("minio")
    assert [p.name for p in guest.root.rglob("*minio*")] == ["minio"], "its program"
