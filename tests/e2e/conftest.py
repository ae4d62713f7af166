"""A lake on the test lab, made once for all modules that ask for it."""

from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from include.lake.lake import Lake, load_lake
from tests.conftest import TestLab


@dataclass(frozen=True)
class Site:
    """The lab with a lake on it, and bare clients that owe nothing to Homelake's own."""

    lab: TestLab
    lake: Lake

    def s3(self, access_key: str = "", secret_key: str = "") -> "boto3.client":
        """S3 as root, or as the owner of a key pair; without retries."""
        config = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 0}, connect_timeout=10, read_timeout=60)
        return boto3.client("s3", endpoint_url=self.lab["S3_ENDPOINT"], region_name=self.lab["S3_REGION"], config=config,
                            aws_access_key_id=access_key or self.lab["S3_ROOT_USER"], aws_secret_access_key=secret_key or self.lab["S3_ROOT_PASSWORD"])  # fmt: skip

    def kubectl(self, *args: str) -> str:
        """kubectl as the cluster's administrator."""
        from lab.k8s import build
        from lab.run import sh

        return sh(build.kube() / "kubectl", f"--kubeconfig={self.lab['KUBECONFIG']}", *args)

    def plan(self, *args: str) -> tuple[int, str]:
        """`./lake plan`: its exit code and its text."""
        done = self.lab.lake("plan", *args, check=False)
        return done.returncode, done.stdout + done.stderr

    def dag(self, name: str, *args: str, check: bool = True) -> str:
        """`./lake airflow dags test`: its whole output."""
        done = self.lab.lake("airflow", "dags", "test", name, *args, check=check)
        return done.stdout + done.stderr

    def dag_with(self, file: Path, name: str) -> str:
        """The same, with another declaration."""
        done = self.lab.lake("airflow", "dags", "test", name, env={"HOMELAKE_FILE": str(file)})
        return done.stdout + done.stderr


@pytest.fixture(scope="session")
def site(lab: TestLab) -> Site:
    """The lab, whatever is on it."""
    return Site(lab, load_lake())


@pytest.fixture(scope="module")
def converged(site: Site) -> Site:
    """The lab with the lake as declared: made now when it is not."""
    code, text = site.plan()
    if code != 0:
        site.lab.lake("apply", "--yes")
        code, text = site.plan()
    assert code == 0, text
    return site
