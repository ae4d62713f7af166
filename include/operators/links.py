"""Links from a task to the place where its work is seen."""

from typing import Any
from urllib.parse import urlsplit

from airflow.sdk import BaseOperatorLink

from include.lake.errors import LakeError
from include.operators.base import airflow_connection


class ProxmoxVmLink(BaseOperatorLink):
    """The VM in the Proxmox VE web interface."""

    name = "Proxmox VM"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Its address, from the connection `proxmox`."""
        resource = getattr(operator, "ensures", (None,))[0]
        try:
            host = airflow_connection("proxmox").host
        except LakeError:
            return ""
        return f"{host.rstrip('/')}/#v1:0:=qemu%2F{getattr(resource, 'vmid', '')}" if host else ""


class MinioConsoleLink(BaseOperatorLink):
    """MinIO's console."""

    name = "MinIO console"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Its address."""
        return console_address(getattr(operator, "console_port", 9001))


def console_address(port: int) -> str:
    """Where MinIO's console is: the S3 endpoint's host, at the console's port. Empty when the connection does not say."""
    try:
        url = urlsplit(airflow_connection("minio_admin").host)
    except LakeError:
        return ""
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
    return f"{url.scheme}://{host}:{port}/" if url.scheme in ("http", "https") and host else ""
