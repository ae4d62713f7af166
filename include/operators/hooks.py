"""Hooks of Homelake's connection types: what Airflow's test button presses, and what a DAG of yours may use."""

from collections.abc import Callable
from typing import Any

from airflow.sdk import BaseHook

from include.adapters.minio import MinioServer
from include.adapters.proxmox import Proxmox
from include.lake.errors import LakeError
from include.operators.base import airflow_connection


class ProxmoxHook(BaseHook):
    """A Proxmox VE node, as the API token of a connection sees it."""

    conn_name_attr, default_conn_name, conn_type, hook_name = "proxmox_conn_id", "proxmox", "proxmox", "Proxmox VE"

    def __init__(self, proxmox_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.proxmox_conn_id = proxmox_conn_id

    def get_conn(self) -> Proxmox:
        """The adapter; `call("get", "version")` is an API call, `api` proxmoxer's own object."""
        return Proxmox(airflow_connection(self.proxmox_conn_id))

    def test_connection(self) -> tuple[bool, str]:
        """Whether the API answers this token."""
        return _tried(lambda: f"Proxmox VE {self.get_conn().call('get', 'version')['version']} answers, and knows the token")


class MinioHook(BaseHook):
    """A MinIO server with its administration, as the root credentials of a connection see it."""

    conn_name_attr, default_conn_name, conn_type, hook_name = "minio_conn_id", "minio_admin", "minio", "MinIO"

    def __init__(self, minio_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.minio_conn_id = minio_conn_id

    def get_conn(self) -> MinioServer:
        """The adapter; `s3()` and `admin()` are minio-py's clients."""
        return MinioServer(airflow_connection(self.minio_conn_id))

    def test_connection(self) -> tuple[bool, str]:
        """Whether MinIO answers and lets these credentials in."""
        return _tried(lambda: f"MinIO answers, and has {_count(len(self.get_conn().bucket_names()))}")


def _count(buckets: int) -> str:
    return "1 bucket" if buckets == 1 else f"{buckets} buckets"


def _tried(look: Callable[[], str]) -> tuple[bool, str]:
    try:
        return True, look()
    except LakeError as error:
        return False, str(error)
