"""What the dashboard's tests share: Spark jobs to look at, and what the page says of them."""

import json
import re
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

import requests

from include.lake.s3a import s3a_profile
from include.lake.spark import Job, application
from tests.e2e.airflow_server import Airflow
from tests.e2e.conftest import Site
from tests.e2e.test_spark import Bench

USERS = {"ada": ("admin", "pw-of-ada-1"), "vic": ("viewer", "pw-of-vic-1")}


class Jobs:
    """Spark jobs submitted by hand, and what the API and the kubelet say of them."""

    def __init__(self, site: Site, airflow: Airflow) -> None:
        self.site, self.bench, self.url = site, Bench(site), f"{airflow.url}/homelake/"
        self.headers = {"Authorization": f"Bearer {airflow.token('vic', USERS['vic'][1])}"}
        self.names: list[str] = []

    def submit(self, kind: str, seconds: float | str) -> str:
        name = f"{kind}-{uuid.uuid4().hex[:8]}"
        job = Job("busy.py", (f"s3a://datalake/test-busy/{name}/", str(seconds)))
        body = application(job, self.site.lake.where, s3a_profile(self.site.lab["S3_ENDPOINT"], self.site.lake.spec.minio.region))
        self.bench.apps.submit(body, name, {"busy.py": Path("tests/e2e/jobs/busy.py").read_text()})
        self.names.append(name)
        return name

    def get(self, path: str) -> Any:
        answer = requests.get(self.url + path, headers=self.headers, timeout=30)
        assert answer.ok, f"{path}: {answer.status_code} {answer.text[:300]}"
        return answer.json()

    def seen(self, name: str) -> dict[str, Any]:
        """The job in the newest snapshot; empty when it is not there."""
        return next((a for a in self.get("api/snapshot")["applications"] if a["name"] == name), {})

    def kubelet(self) -> dict[tuple[str, str], dict[str, Any]]:
        """The use of each pod by the moment of the kubelet's sample, from the kubelet itself. CPU and memory are sampled together or not at all."""
        node = self.site.kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
        summary = json.loads(self.site.kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/stats/summary"))
        return {(p["podRef"]["name"], p["cpu"]["time"]): p["memory"] | p["cpu"] for p in summary["pods"] if p.get("memory") and p.get("cpu")}

    def clear(self) -> None:
        for name in self.names:
            self.bench.apps.delete(name)


def frame(page: Any) -> Any:
    """The page inside Airflow's frame."""
    return page.frame_locator("iframe")


def epoch(stamp: str) -> float:
    """A moment as Kubernetes and browsers write it, in seconds since 1970."""
    return datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()


def displayed(page: Any, pod: str) -> tuple[float, float, float, float]:
    """What the page says of a pod, read at once: the moment of its sample, cores, bytes, and how old it says that they are."""
    text, stamp = frame(page).get_by_role("article", name=pod).evaluate("e => [e.innerText, e.querySelector('time')?.dateTime ?? '']")
    said = re.search(r"([\d.]+) of [\d.]+ cores, ([\d.]+) ([MG])iB of .* measured (?:now|([\d.]+) s ago)", " ".join(text.split()))
    assert said, text
    return epoch(stamp), float(said[1]), float(said[2]) * {"M": 2.0**20, "G": 2.0**30}[said[3]], float(said[4] or 0)


def in_its_tab(page: Any, address: str, route: str) -> Any:
    """The page in the tab of a page of Airflow's; a link of the same name stands in Airflow's navigation."""
    page.goto(address)
    page.locator(f"a[href*='plugin/{route}']").first.click(timeout=30_000)
    return frame(page)


def seen_there(inside: Any, name: str) -> None:
    """The job is in a list, or alone."""
    inside.get_by_role("heading", name=name).or_(inside.get_by_role("link", name=name)).first.wait_for(timeout=30_000)
