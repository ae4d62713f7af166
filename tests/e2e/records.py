"""What the parts themselves recorded while something ran: the counters of no test and no product of ours.

Proxmox: the stand-in's access log. The VM: sshd's and sudo's journal, and what changed on its filesystems.
MinIO: its own trace. Kubernetes: the version it gives to every object.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import requests
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from lab.k8s import build
from lab.run import sh
from tests.conftest import TestLab

KINDS = "namespace,secret,serviceaccount,role,rolebinding"


@dataclass
class Records:
    """Everything recorded. `proxmox` and `minio` hold `METHOD path` lines; `minio` those of root only."""

    proxmox: list[str] = field(default_factory=list)
    minio: list[str] = field(default_factory=list)
    minio_users: list[str] = field(default_factory=list)
    logins: int = 0
    commands: int = 0
    changed_files: list[str] = field(default_factory=list)
    restarted: bool = False
    kubernetes: list[str] = field(default_factory=list)

    def writes(self) -> dict[str, list[str]]:
        """Everything that changed something, by part; empty when nothing did."""
        found = {
            "proxmox": [line for line in self.proxmox if not line.startswith("GET ")],
            "minio": [line for line in self.minio if line.split()[0] not in ("GET", "HEAD")],
            "vm": self.changed_files + (["minio was restarted"] if self.restarted else []),
            "kubernetes": self.kubernetes,
        }
        return {part: lines for part, lines in found.items() if lines}


@contextmanager
def recording(lab: TestLab) -> Iterator[Records]:
    """Record what the parts of a lab with a running MinIO see while the block runs."""
    records = Records()
    log = lab.state / "pve" / "access.log"
    start, before, service = log.stat().st_size, _versions(lab), _service(lab)
    began = lab.ssh("date +%s.%N").strip()
    lab.ssh("sleep 1.1")  # ctime has a coarse clock: what is older must be seen as older
    with trace(lab) as calls:
        yield records
    with open(log) as file:
        file.seek(start)
        records.proxmox = [" ".join(line.split()[2:4]) for line in file]
    root = lab["S3_ROOT_USER"]
    records.minio = [f"{method} {path}" for key, method, path in calls if key == root]
    records.minio_users = [f"{method} {path}" for key, method, path in calls if key not in (root, "")]
    records.logins = int(lab.ssh(f"sudo journalctl -u ssh -o cat --since=@{began} | grep -c 'Accepted publickey' || true"))
    records.commands = int(lab.ssh(f"sudo journalctl -t sudo -o cat --since=@{began} | grep -c 'COMMAND=.*homelake' || true"))
    records.changed_files = _changed(lab, began)
    records.restarted = _service(lab) != service
    after = _versions(lab)
    records.kubernetes = sorted(k for k in before.keys() | after.keys() if before.get(k) != after.get(k))


def _changed(lab: TestLab, began: str) -> list[str]:
    """Files of the VM whose content or owner changed, without logs, what runs (/run, /tmp), and MinIO's own bookkeeping."""
    skipped = " ".join(f"-path {p} -prune -o" for p in ("/var/log", "/run", "/tmp", "/var/tmp", "/var/lib/systemd", "/proc", "/sys", "/dev"))
    system = f"/ -xdev {skipped} -newerct @{began} -not -path /root -print"
    # Of MinIO's own folder: its configuration, users, policies and the buckets' settings. The rest are caches of its scanner.
    own = f"/mnt/minio_data/.minio.sys -name tmp -prune -o \\( -path '*/config/*' -o -name .metadata.bin \\) -newerct @{began} -print"
    # Files come and go while find looks; any other complaint of it counts as a change, so that a search that fails is not an empty one.
    lines = [line for where in (system, own) for line in lab.ssh(f"sudo find {where} 2>&1 | grep -v 'No such file or directory' || true").splitlines()]
    ignored = ("/etc/.updated",)
    return [f for f in lines if f not in ignored and "/config/.tracker" not in f]


def _service(lab: TestLab) -> str:
    return lab.ssh("systemctl show minio -p MainPID,NRestarts,ActiveEnterTimestampMonotonic")


def _versions(lab: TestLab) -> dict[str, str]:
    text = sh(build.kube() / "kubectl", f"--kubeconfig={lab['KUBECONFIG']}", "get", KINDS, "-A", "-o", "json")
    found = {f"{o['kind']} {o['metadata'].get('namespace', '')}/{o['metadata']['name']}": o["metadata"]["resourceVersion"] for o in json.loads(text)["items"]}
    return {k: v for k, v in found.items() if " spark-jobs/" in k or k.endswith("/spark-jobs")}


@contextmanager
def trace(lab: TestLab) -> Iterator[list[tuple[str, str, str]]]:
    """MinIO's own trace of S3 and admin calls: (access key, method, path), filled while the block runs."""
    url = f"{lab['S3_ENDPOINT']}/minio/admin/v3/trace?internal=true&s3=true"
    request = AWSRequest("GET", url)
    S3SigV4Auth(Credentials(lab["S3_ROOT_USER"], lab["S3_ROOT_PASSWORD"]), "s3", lab["S3_REGION"]).add_auth(request)
    calls: list[tuple[str, str, str]] = []
    with requests.get(url, headers={**request.headers, "Accept-Encoding": "identity"}, stream=True, timeout=(10, 600)) as stream:
        stream.raise_for_status()
        reader = threading.Thread(target=_read, args=(stream, calls), daemon=True)
        reader.start()
        # The trace is on once a call of ours shows in it.
        for _ in range(50):
            requests.get(f"{lab['S3_ENDPOINT']}/homelake-trace-mark", timeout=10)
            reader.join(0.2)
            if any("homelake-trace-mark" in path for _, _, path in calls):
                break
        else:
            raise AssertionError("MinIO's trace shows nothing")
        calls.clear()
        yield calls
        reader.join(1)


def _read(stream: requests.Response, calls: list[tuple[str, str, str]]) -> None:
    try:
        for line in stream.iter_lines(chunk_size=None):
            if not line.strip():
                continue
            info = (json.loads(line).get("http") or {}).get("request") or {}
            if not info:
                continue  # what the server does by itself
            headers = {k.lower(): v for k, v in (info.get("headers") or {}).items()}
            authorization = (headers.get("authorization") or [""])[0]
            key = authorization.partition("Credential=")[2].partition("/")[0]
            path = info.get("path", "") + (f"?{info['rawquery']}" if info.get("rawquery") else "")
            calls.append((key, info.get("method", ""), path))
    except (requests.RequestException, AttributeError, ValueError):
        return  # the stream was closed
