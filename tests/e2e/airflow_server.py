"""`./lake airflow standalone` on the lab, its REST API, and Chromium on its pages. HOMELAKE_SCREENSHOTS names a folder that keeps the pictures."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import requests
import yaml

from include.lake.spec import LAKE_FILE
from include.run_airflow import end_all
from tests import pictures
from tests.conftest import ROOT
from tests.e2e.conftest import Site

CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync"]  # fmt: skip


class Airflow:
    """A running Airflow: its address, and its REST API."""

    def __init__(self, url: str, folder: Path, declared: Path) -> None:
        self.url, self.folder, self.home, self._declared = url, folder, folder / "home", declared
        self.session = requests.Session()
        self.users: dict[str, str] = {}  # with their passwords; none: everybody is an administrator

    def schedule(self, cron: str | None) -> None:
        """Declare the Spark job's schedule, and wait until Airflow has read it."""
        content = yaml.safe_load(self._declared.read_text())
        content["spark"]["schedule"] = cron
        (self.folder / "lake.yaml").write_text(yaml.safe_dump(content))
        if "Authorization" in self.session.headers:
            self.call("PUT", f"/parseDagFile/{self.call('GET', '/dags/lake_spark')['file_token']}")
            until(lambda: self.call("GET", "/dags/lake_spark")["timetable_summary"] in (cron, None), 120, "new schedule")

    def login(self) -> None:
        """Take a token: everybody on this machine is an administrator, unless there are users."""
        token = self.token(*next(iter(self.users.items()))) if self.users else self.session.get(f"{self.url}/auth/token", timeout=30).json()["access_token"]
        self.session.headers["Authorization"] = f"Bearer {token}"

    def token(self, user: str, password: str) -> str:
        """A user's own token."""
        answer = requests.post(f"{self.url}/auth/token", json={"username": user, "password": password}, timeout=30)
        assert answer.ok, answer.text
        return str(answer.json()["access_token"])

    def call(self, method: str, path: str, **body: Any) -> Any:
        """One call of the REST API."""
        answer = self.session.request(method, f"{self.url}/api/v2{path}", json=body or None, timeout=60)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json() if answer.content else None

    def trigger(self, dag: str, **conf: Any) -> str:
        """Start a run; its id."""
        return str(self.call("POST", f"/dags/{dag}/dagRuns", logical_date=None, conf=conf)["dag_run_id"])

    def runs(self, dag: str, **only: str) -> list[str]:
        """The ids of its runs, the newest first."""
        wanted = "&".join(["order_by=-run_after", *(f"{k}={v}" for k, v in only.items())])
        return [str(r["dag_run_id"]) for r in self.call("GET", f"/dags/{dag}/dagRuns?{wanted}")["dag_runs"]]

    def tasks(self, dag: str, run: str) -> dict[str, str]:
        """The state of each task of a run."""
        found = self.call("GET", f"/dags/{dag}/dagRuns/{run}/taskInstances")["task_instances"]
        return {t["task_id"]: t["state"] for t in found}

    def log(self, dag: str, run: str, task: str, number: int = 1) -> str:
        """What a try of a task said."""
        return json.dumps(self.call("GET", f"/dags/{dag}/dagRuns/{run}/taskInstances/{task}/logs/{number}?full_content=true")["content"])

    def finished(self, dag: str, run: str, seconds: float = 420) -> str:
        """The run's state once it is over."""

        def look() -> str:
            state = str(self.call("GET", f"/dags/{dag}/dagRuns/{run}")["state"])
            return state if state in ("success", "failed") else ""

        return until(look, seconds, f"the end of {dag} {run}")


def until(look: Callable[[], Any], seconds: float, what: str) -> Any:
    """Look until there is something."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"no {what} within {seconds:.0f} s"
        time.sleep(0.5)
    return found


def _bundle(name: str, **kwargs: str) -> dict[str, Any]:
    return {"name": name, "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle", "kwargs": kwargs}


@contextmanager
def standalone(site: Site, folder: Path, cron: str | None, users: dict[str, tuple[str, str]] | None = None, declared: Path = LAKE_FILE) -> Iterator[Airflow]:
    """A running Airflow, with the Spark job declared for `cron`. `users`: their roles and passwords; without any everybody is an administrator."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = Airflow(f"http://127.0.0.1:{port}", folder, declared)
    running.schedule(cron)
    own = {
        "AIRFLOW_HOME": str(folder / "home"),
        "HOMELAKE_FILE": str(folder / "lake.yaml"),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([_bundle("dags-folder"), _bundle("tests", path=str(ROOT / "tests/e2e/dags"))]),
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
    }
    if users:
        passwords = folder / "passwords.json"
        passwords.write_text(json.dumps({name: password for name, (_, password) in users.items()}))
        own |= {"AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False", "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
                "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, (role, _) in users.items())}  # fmt: skip
        running.users = {name: password for name, (_, password) in users.items()}
    with open(folder / "log", "w") as log:
        process = subprocess.Popen([str(ROOT / "lake"), "airflow", "standalone"], env=site.lab.environment(own), cwd=ROOT,
                                   stdout=log, stderr=log, start_new_session=True)  # fmt: skip
    try:

        def answers() -> bool:
            assert process.poll() is None, (folder / "log").read_text()[-3000:]
            try:
                health = running.session.get(f"{running.url}/api/v2/monitor/health", timeout=5).json()
            except (requests.RequestException, ValueError):
                return False
            return all(health[part]["status"] == "healthy" for part in ("metadatabase", "scheduler", "dag_processor"))

        until(answers, 300, "healthy Airflow")
        running.login()
        until(lambda: {"lake_bootstrap", "lake_spark", "lake_governance"} <= {d["dag_id"] for d in running.call("GET", "/dags")["dags"]}, 90, "DAGs")
        yield running
    finally:
        for seconds in (60, 30):  # at the first Ctrl-C it waits for tasks that run, at the second for none
            with suppress(subprocess.TimeoutExpired):
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGINT)
                process.wait(seconds)
                break
        else:
            end_all(process.pid)
            raise AssertionError(f"it did not end at the second Ctrl-C:\n{(folder / 'log').read_text()[-3000:]}")


def picture(page: Any, name: str) -> None:
    """Keep a screenshot, where somebody wants it, with the build of the page that it was made from."""
    if folder := os.environ.get("HOMELAKE_SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"))
        if Path(f"{name}.png").match(pictures.OURS):
            pictures.note(Path(folder), {f"{name}.png": pictures.page()})


@contextmanager
def chromium() -> Iterator[Any]:
    """The browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        try:
            yield browser
        finally:
            browser.close()
