"""Homelake's connection types, as Airflow wants to be told of them: their forms are made from this, without importing a hook.

Found through `homelake.dist-info` at the project's root. Source: Airflow's provider_info.schema.json.
"""

from typing import Any

_CA = {
    "label": "CA certificate",
    "description": "File on this machine with the CA that signed the server's certificate. Empty: the CAs that Python knows.",
    "schema": {"type": ["string", "null"]},
}


def provider_info() -> dict[str, Any]:
    """The provider that the project is to Airflow."""
    return {
        "package-name": "homelake",
        "name": "Homelake",
        "description": "Connections to Proxmox VE and to MinIO's own administration.",
        "connection-types": [_proxmox(), _minio()],
    }


def _proxmox() -> dict[str, Any]:
    return {
        "connection-type": "proxmox",
        "hook-class-name": "include.operators.hooks.ProxmoxHook",
        "hook-name": "Proxmox VE",
        "ui-field-behaviour": {
            "hidden-fields": ["schema", "port"],
            "relabeling": {"host": "API URL", "login": "Token ID", "password": "Token secret"},
            "placeholders": {"host": "https://pve.example.org:8006", "login": "homelake@pve!bootstrap", "password": "00000000-0000-0000-0000-000000000000"},
        },
        "conn-fields": {"ca": _CA},
    }


def _minio() -> dict[str, Any]:
    region = {
        "label": "Region",
        "description": "The server's own region, as minio.region in include/lake.yaml.",
        "schema": {"type": ["string", "null"], "default": "ap-northeast-2"},
    }
    return {
        "connection-type": "minio",
        "hook-class-name": "include.operators.hooks.MinioHook",
        "hook-name": "MinIO",
        "ui-field-behaviour": {
            "hidden-fields": ["schema", "port"],
            "relabeling": {"host": "Endpoint", "login": "Root user", "password": "Root password"},
            "placeholders": {"host": "http://datalake.example.org:9000", "login": "lakeroot", "password": "8 characters or more"},
        },
        "conn-fields": {"region": region, "ca": _CA},
    }
