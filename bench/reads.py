"""The reads of a run without changes, done with bare clients: what the round trips alone cost.

One connection a part, opened once; every fact is asked for once. The commands in the VM, and the shell as root that they share, are the product's own;
everything else is the plain call of the part's own library. Imports are not timed.
"""

import base64
import json
import shlex
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import paramiko
import requests
import urllib3
from kubernetes import config
from kubernetes.client import ApiClient, Configuration, CoreV1Api, RbacAuthorizationV1Api
from minio import Minio, MinioAdmin
from minio.credentials import StaticProvider
from minio.error import S3Error

from include.adapters.host import account, program, service, storage
from include.adapters.host.shell import LOOP, Shell
from include.connections import Connections
from include.lake.lake import Lake


def timed_reads(lake: Lake, connections: Connections) -> dict[str, float]:
    """Read everything once. Returns the seconds of each part, its connection's set-up among them, and of the `sum`."""
    seconds: dict[str, float] = {}
    pair: dict[str, str] = {}
    for name, read in (("Proxmox", _proxmox), ("VM by SSH", _host), ("Kubernetes", _kubernetes), ("MinIO", _minio)):
        began = time.monotonic()
        read(lake, connections, pair)
        seconds[name] = time.monotonic() - began
    return seconds | {"sum": sum(seconds.values())}


def _proxmox(lake: Lake, connections: Connections, pair: dict[str, str]) -> None:
    c = connections("proxmox")
    with requests.Session() as session:
        session.trust_env = False
        session.verify = c.option("ca") or True
        session.headers["Authorization"] = f"PVEAPIToken={c.login}={c.password.reveal()}"
        vm = f"{c.host.rstrip('/')}/api2/json/nodes/{lake.vm_disk.node}/qemu/{lake.vm_disk.vmid}"
        for path in ("/config?current=1", "/pending"):
            session.get(vm + path, timeout=30).raise_for_status()


def _host(lake: Lake, connections: Connections, pair: dict[str, str]) -> None:
    c = connections("lake_host")
    kind, key = c.option("host_key").split()
    client = paramiko.SSHClient()
    client.get_host_keys().add(c.host, kind, paramiko.PKey.from_type_string(kind, base64.b64decode(key)))
    client.connect(c.host, port=c.port or 22, username=c.login, key_filename=c.option("key_file"), allow_agent=False, look_for_keys=False, timeout=60)
    sudo = [] if c.login == "root" else ["sudo", "-n"]
    with client, client.get_transport().open_session() as channel:  # type: ignore[union-attr]
        root = Shell(channel, shlex.join([*sudo, "env", "LC_ALL=C", "bash", "-c", LOOP]))
        for script, *args in (
            (storage._DEVICE, storage.BY_ID.format(slot=lake.vm_disk.slot)),
            (storage._MOUNT, lake.mount.target),
            (account._ACCOUNT, lake.account.name, lake.mount.target),
            ("uname -m",),
            (program._INSTALLED, lake.minio_binary.name),
            (service._SERVICE, lake.minio_service.name, str(lake.minio_service.port)),
        ):
            if code := root.run(script, tuple(args), 60).code:
                raise SystemExit(f"Unable to read the VM: a command ended with {code}. Run ./lake plan.")


def _kubernetes(lake: Lake, connections: Connections, pair: dict[str, str]) -> None:
    where = Configuration()
    config.load_kube_config(connections("kubernetes_default").option("kube_config_path") or None, client_configuration=where)
    namespace, name = lake.service_account.namespace, lake.service_account.name
    with ApiClient(where) as api:
        core, rbac = CoreV1Api(api), RbacAuthorizationV1Api(api)
        core.read_namespace(namespace)
        core.read_namespaced_service_account(name, namespace)
        rbac.read_namespaced_role(name, namespace)
        rbac.read_namespaced_role_binding(name, namespace)
        found = core.read_namespaced_secret(lake.key_pair.name, namespace).data
    for role, key in zip(("access", "secret"), lake.key_pair.keys, strict=True):
        pair[role] = base64.b64decode(found[key]).decode()


def _minio(lake: Lake, connections: Connections, pair: dict[str, str]) -> None:
    c = connections("minio_admin")
    url, region = urlsplit(c.host), c.option("region")
    common: dict[str, Any] = {"endpoint": url.netloc, "secure": url.scheme == "https", "region": region, "http_client": urllib3.PoolManager(retries=False)}
    s3 = Minio(access_key=c.login, secret_key=c.password.reveal(), **common)
    admin = MinioAdmin(credentials=StaticProvider(c.login, c.password.reveal()), **common)
    calls: list[Callable[[], Any]] = []
    for bucket in lake.buckets:
        calls += [lambda b=bucket: s3.get_bucket_versioning(b.name), lambda b=bucket: admin.bucket_quota_get(b.name)]  # type: ignore[misc]
        calls += [lambda b=bucket: s3.get_object_lock_config(b.name)]  # type: ignore[misc]
    calls += [lambda p=p: admin.policy_info(p.name) for p in lake.policies]  # type: ignore[misc]
    calls += [lambda u=u: admin.user_info(u.name) for u in lake.users]  # type: ignore[misc]
    calls += [lambda: json.loads(admin.get_service_account(pair["access"]))]
    calls += [lambda: list(Minio(access_key=pair["access"], secret_key=pair["secret"], **common).list_buckets())]
    for call in calls:
        try:
            call()
        except S3Error as error:
            if error.code not in ("ObjectLockConfigurationNotFoundError", "AccessDenied"):
                raise
