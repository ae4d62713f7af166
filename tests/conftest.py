"""Fixtures of the test lab: real parts, started once, left running for the next run (`make clean` removes it).

HOMELAKE_TEST_LAB names it (default `test`), so that several runs can go on at once, each with a lab of its own.
HOMELAKE_TEST_LAB_UP holds further arguments of `lab up`, as `--no-k8s` while working on what needs no Kubernetes.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
UP_TIMEOUT = 3600  # seconds: the first `lab up` on a machine builds Kubernetes


class TestLab(dict[str, str]):
    """The facts that `lab env` prints (`lab["PVE_URL"]`), and ways to act on that lab."""

    __test__ = False  # not a test class

    def __init__(self, name: str, ssh_folder: Path) -> None:
        super().__init__()
        self.name = name
        self.state = ROOT / ".lab" / name
        self._control = ssh_folder / "control"

    def __repr__(self) -> str:
        return f"TestLab({self.name!r})"  # the facts hold secrets, and pytest prints what a failed test was called with

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of a command that must see this lab and no other site: connections and Airflow settings of the caller are left out."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW_", "HOMELAKE_SITE"))}
        own = {"HOMELAKE_LAB": self.name, "HOMELAKE_SITE": str(self.state / "site.env"), "AIRFLOW_HOME": str(self.state / "airflow")}
        return {**kept, **own, **(extra or {})}

    def lake(self, *args: str, check: bool = True, timeout: float = 570, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run `./lake ARGS` against this lab, with an AIRFLOW_HOME of its own.

        With `check` an exit code other than 0 fails the test, with the command's output. `plan` exits 2 when there are changes: use check=False.
        """
        return self._run([str(ROOT / "lake"), *args], check=check, timeout=timeout, env=env)

    def lab(self, *args: str, check: bool = True, timeout: float = 570) -> subprocess.CompletedProcess[str]:
        """Run `./lake lab ARGS --name NAME`: `lab.lab("down")`."""
        return self._run([sys.executable, "-m", "lab", args[0], "--name", self.name, *args[1:]], check=check, timeout=timeout)

    def up(self, **options: Any) -> subprocess.CompletedProcess[str]:
        """Start the lab, or whatever of it does not run."""
        further = os.environ.get("HOMELAKE_TEST_LAB_UP", "").split()
        command = [sys.executable, "-m", "lab", "up", "--name", self.name, "--snapshot", *further]
        return subprocess.run(command, cwd=ROOT, env=self.environment(), timeout=UP_TIMEOUT, check=False, text=True, **options)

    def run(self, *args: str, timeout: float = 120) -> str:
        """Run any program here, and return what it printed; an exit code other than 0 fails the test."""
        return self._run(list(args), check=True, timeout=timeout).stdout

    def ssh(self, command: str, *, check: bool = True, wait: float = 20, timeout: float = 300, input: str | None = None) -> str:
        """Run a shell command in the VM, as the user `debian` (who may sudo), and return what it printed.

        One connection is kept open. A lost one, as after a reboot, is made again for up to `wait` seconds; the command may then run twice.
        """
        args = ["ssh", *self._ssh_options(), f"{self['SSH_USER']}@{self['SSH_HOST']}", command]
        deadline = time.monotonic() + wait
        while True:
            done = subprocess.run(args, capture_output=True, text=True, input=input, timeout=timeout, check=False)
            if done.returncode != 255 or time.monotonic() > deadline:
                break
            self.close_ssh()
            time.sleep(0.5)
        assert not check or done.returncode == 0, f"{command!r} in the VM exited with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def reset(self) -> None:
        """VM back to the snapshot `fresh` (its disk as new, running, the clock right), Kubernetes to the spark-operator only. Seconds."""
        self.close_ssh()  # the guest will not know this connection any more
        self.lab("reset")

    def close_ssh(self) -> None:
        """End the connection that `ssh` keeps open."""
        args = ["ssh", *self._ssh_options(), "-O", "exit", f"{self['SSH_USER']}@{self['SSH_HOST']}"]
        subprocess.run(args, capture_output=True, check=False, timeout=30)

    def _ssh_options(self) -> list[str]:
        options = {"UserKnownHostsFile": self["SSH_KNOWN_HOSTS"], "StrictHostKeyChecking": "yes", "IdentitiesOnly": "yes", "BatchMode": "yes",
                   "ConnectTimeout": "20", "ServerAliveInterval": "5", "ServerAliveCountMax": "3", "LogLevel": "ERROR",
                   "ControlMaster": "auto", "ControlPath": str(self._control), "ControlPersist": "120"}  # fmt: skip
        return ["-F", "none", "-i", self["SSH_KEY"], "-p", self["SSH_PORT"], *(f"-o{k}={v}" for k, v in options.items())]

    def _run(self, args: list[str], *, check: bool, timeout: float, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(args, cwd=ROOT, env=self.environment(env), capture_output=True, text=True, timeout=timeout, check=False)
        assert not check or done.returncode == 0, f"{' '.join(args)} exited with {done.returncode}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done

    def read_facts(self) -> None:
        """Take over what `lab env` prints, and keep it as the site's file that `lake` runs with."""
        text = self.lab("env").stdout
        self.clear()
        self.update(line.split("=", 1) for line in text.splitlines())
        site = self.state / "site.env"
        site.touch(mode=0o600)
        site.write_text(text)


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Iterator[TestLab]:
    """The test lab, running: VM 100 (`datalake`) behind the Proxmox stand-in, Kubernetes with the spark-operator.

    Started once a session by `lab up --snapshot`, which shows its progress; a lab that runs already is taken as it is (so its VM may hold a lake:
    ask for `fresh_lab` where that matters). It stays at the end, for the next run.
    """
    name = os.environ.get("HOMELAKE_TEST_LAB", "test")
    with tempfile.TemporaryDirectory(prefix="hl-") as folder:
        lab = TestLab(name, Path(folder))
        with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            print(f"\nstarting the lab {name}", file=sys.stderr, flush=True)
            up = lab.up()
        if up.returncode:
            pytest.fail(f"Unable to start the lab {name}: lab up exited with {up.returncode}; what it said stands above.", pytrace=False)
        lab.read_facts()
        yield lab
        lab.close_ssh()


@pytest.fixture(scope="module")
def fresh_lab(lab: TestLab) -> TestLab:
    """The test lab as new: reset once for each module that asks for it, so that the tests of a module can build on one another.

    A test that needs a fresh one for itself calls `lab.reset()`.
    """
    lab.reset()
    return lab


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark whatever uses the lab, so that `-m "not lab"` leaves nothing that starts one."""
    for item in items:
        if {"lab", "fresh_lab"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.lab)
