"""Real parts that are out of reach or let nobody in: every call ends with an error of ours that names cause and remedy; nothing is ever taken for absent."""

import base64
import datetime
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from include.adapters.host import Host
from include.adapters.kubernetes import Kubernetes
from include.adapters.minio import MinioServer
from include.adapters.proxmox import Proxmox
from include.adapters.tenant import TenantS3
from include.connections import Connection
from include.lake.errors import LakeError
from include.lake.lake import load_lake
from include.lake.resources.keypair import Pair
from include.lake.secret import Secret
from tests.conftest import TestLab
from tests.contract.calls import READING, WRITING, told
from tests.contract.real import Parts
from tests.contract.test_out_of_reach import certificate

WRONG = Secret("not-the-secret-of-anybody")


@dataclass(frozen=True)
class Site:
    """The real parts, and a folder."""

    parts: Parts
    folder: Path

    @property
    def lab(self) -> TestLab:
        return self.parts.lab

    def known(self, conn_id: str, **changes: Any) -> Connection:
        """One of the lab's connections with some of its fields changed; `extra` is merged."""
        connection = self.parts.clients.connections(conn_id)
        return replace(connection, **changes | {"extra": {**connection.extra, **changes.get("extra", {})}})


@pytest.fixture(scope="module")
def site(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(parts, tmp_path_factory.mktemp("site"))


def elsewhere(site: Site, port: int) -> str:
    """An address of the lab's subnet that nothing has."""
    return f"{site.lab['SSH_HOST'].rpartition('.')[0]}.77:{port}"


PROXMOX: dict[str, tuple[Callable[[Site], Connection], bool, str]] = {
    "a wrong secret": (lambda s: s.known("proxmox", password=WRONG), False, "log in"),
    "an unknown token": (lambda s: s.known("proxmox", login="homelake@pve!nobody"), False, "log in"),
    "a token without rights": (
        lambda s: s.known("proxmox", login=s.lab["PVE_NOPRIV_TOKEN_ID"], password=Secret(s.lab["PVE_NOPRIV_TOKEN_SECRET"])), False, "Permission check failed"),
    "another CA": (lambda s: s.known("proxmox", extra={"ca": str(certificate(s.folder))}), True, "not signed by a CA known here"),
    "no CA": (lambda s: s.known("proxmox", extra={"ca": ""}), True, "not signed by a CA known here"),
    "a closed port": (lambda s: s.known("proxmox", host=s.lab["PVE_URL"].replace(":8006", ":8007")), True, "connection refused"),
}  # fmt: skip


@pytest.mark.parametrize("what", PROXMOX)
def test_proxmox(site: Site, what: str) -> None:
    made, retry, cause = PROXMOX[what]
    client = Proxmox(made(site))
    calls = [*READING["proxmox"].values(), *WRITING["proxmox"].values()]
    for call in calls[:2] if "log in" in cause else calls:  # a refused log-in is answered late
        assert cause in str(told(partial(call, client), retry=retry))


MINIO: dict[str, tuple[Callable[[Site], Connection], bool, str]] = {
    "a wrong password": (lambda s: s.known("minio_admin", password=WRONG), False, "log in"),
    "an unknown user": (lambda s: s.known("minio_admin", login="nobody"), False, "log in"),
    "a user's own pair": (lambda s: own_pair(s), False, "AccessDenied"),
    "a closed port": (lambda s: s.known("minio_admin", host=s.lab["S3_ENDPOINT"].replace(":9000", ":9009")), True, "connection refused"),
    "nothing at the address": (lambda s: s.known("minio_admin", host=f"http://{elsewhere(s, 9000)}"), True, ""),
}


def own_pair(site: Site) -> Connection:
    pair = load_lake().key_pair.pair(site.parts.clients.keypair)
    return site.known("minio_admin", login=pair.access_key, password=pair.secret_key)


@pytest.mark.parametrize("what", MINIO)
def test_minio(site: Site, with_lake: Parts, what: str) -> None:
    made, retry, cause = MINIO[what]
    client = MinioServer(made(site))
    calls = {**READING["minio"], **WRITING["minio"]}
    if not retry:
        del calls["accepts"]  # that is asked with the pair itself, whoever asks
        if cause == "AccessDenied":
            del calls["owner"], calls["remove_access_key"]  # of a key that nobody has MinIO says so to anyone
    for call in list(calls.values())[: 1 if what == "nothing at the address" else None]:
        assert cause in str(told(partial(call, client), retry=retry))


def test_a_tenant_whose_pair_nobody_knows_is_no_refusal(with_lake: Parts) -> None:
    stranger = TenantS3(with_lake.clients.minio, Pair(f"NOBODY{uuid4().hex[:8].upper()}", WRONG))
    for call in (lambda: stranger.put("datalake", "x", b"x"), lambda: stranger.list("datalake", ""), stranger.list_users):
        assert "InvalidAccessKeyId" in str(told(call, retry=False))
    gone = TenantS3(MinioServer(with_lake.clients.connections("minio_admin")), stranger._pair)
    gone._server.endpoint = "127.0.0.1:1"
    told(lambda: gone.get("datalake", "x"), retry=True)


HOST: dict[str, tuple[Callable[[Site], Connection], bool, str]] = {
    "another host key": (lambda s: s.known("lake_host", extra={"host_key": public_key(s, "another")}), False, "not the one that the connection pins"),
    "no host key": (lambda s: s.known("lake_host", extra={"host_key": ""}), False, "its host key is not known"),
    "another key": (lambda s: s.known("lake_host", extra={"key_file": str(private_key(s, "mine"))}), False, "accepts none of the keys"),
    "another user": (lambda s: s.known("lake_host", login="nobody"), False, "accepts none of the keys"),
    "a closed port": (lambda s: s.known("lake_host", port=2222), True, "onnect"),
    "nothing at the address": (lambda s: s.known("lake_host", host=elsewhere(s, 0).partition(":")[0]), True, ""),
}


def private_key(site: Site, name: str) -> Path:
    path = site.folder / name
    if not path.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


def public_key(site: Site, name: str) -> str:
    return " ".join(private_key(site, name).with_suffix(".pub").read_text().split()[:2])


@pytest.mark.parametrize("what", HOST)
def test_host(site: Site, what: str) -> None:
    made, retry, cause = HOST[what]
    connection = made(site)
    client = Host(lambda _: connection, print)
    calls = [*READING["host"].values(), *WRITING["host"].values()]
    for call in calls if what == "a closed port" else calls[:1]:  # a log-in costs the VM a second or two
        assert cause in str(told(partial(call, client), retry=retry))


def kube_config(site: Site, user: dict[str, Any] | None = None, cluster: dict[str, Any] | None = None) -> Connection:
    """The lab's kube config with another user, or another cluster."""
    config = yaml.safe_load(Path(site.lab["KUBECONFIG"]).read_text())
    if user is not None:
        config["users"][0]["user"] = user
    config["clusters"][0]["cluster"] |= cluster or {}
    return site.known("kubernetes_default", extra={"kube_config": json.dumps(config)})


def client_certificate(site: Site, *, days: int, known: bool) -> dict[str, str]:
    """A certificate of the cluster's administrator that ended so many days ago, by the cluster's CA or by one that it does not know."""
    pki = site.lab.state / "k8s" / "kubernetes" / "pki"
    key = ec.generate_private_key(ec.SECP256R1())
    authority: Any = serialization.load_pem_private_key((pki / "ca.key").read_bytes(), None) if known else key
    issuer = x509.load_pem_x509_certificate((pki / "ca.crt").read_bytes()).subject
    name = [x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "kubeadm:cluster-admins"), x509.NameAttribute(x509.NameOID.COMMON_NAME, "kubernetes-admin")]
    end = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=days)
    made = (x509.CertificateBuilder().subject_name(x509.Name(name)).issuer_name(issuer).public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(end - datetime.timedelta(days=30)).not_valid_after(end)
            .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False).sign(authority, hashes.SHA256()))  # fmt: skip
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = made.public_bytes(serialization.Encoding.PEM)
    return {"client-certificate-data": base64.b64encode(public).decode(), "client-key-data": base64.b64encode(private).decode()}


def powerless(site: Site) -> dict[str, str]:
    answer = site.parts.clients.kubernetes.core.create_namespaced_service_account_token("default", "default", {"spec": {"expirationSeconds": 600}})
    return {"token": answer.status.token}


def another_ca(site: Site) -> dict[str, str]:
    public = certificate(site.folder).read_text().partition("-----BEGIN CERTIFICATE")
    return {"certificate-authority-data": base64.b64encode((public[1] + public[2]).encode()).decode()}


KUBERNETES: dict[str, tuple[Callable[[Site], Connection], bool, str]] = {
    "a wrong token": (lambda s: kube_config(s, {"token": "nobody's"}), False, "may have expired"),
    "an expired certificate": (lambda s: kube_config(s, client_certificate(s, days=1, known=True)), False, "may have expired"),
    "a certificate of another CA": (lambda s: kube_config(s, client_certificate(s, days=-1, known=False)), False, "may have expired"),
    "nobody": (lambda s: kube_config(s, {}), False, "is forbidden"),
    "an account without rights": (lambda s: kube_config(s, powerless(s)), False, "is forbidden"),
    "another CA": (lambda s: kube_config(s, cluster=another_ca(s)), True, "certificate"),
    "a closed port": (lambda s: kube_config(s, cluster={"server": f"https://{s.lab['PVE_URL'].split('/')[2].split(':')[0]}:6444"}), True, "connection refused"),
    "a kube config that is not there": (lambda s: s.known("kubernetes_default", extra={"kube_config_path": "/nowhere"}), True, "cannot be used"),
    "a context that is not there": (lambda s: s.known("kubernetes_default", extra={"cluster_context": "nowhere"}), True, "cannot be used"),
}


@pytest.mark.parametrize("what", KUBERNETES)
def test_kubernetes(site: Site, what: str) -> None:
    made, retry, cause = KUBERNETES[what]
    client = Kubernetes(made(site))
    for call in [*READING["kubernetes"].values(), *WRITING["kubernetes"].values()]:
        assert cause in str(told(partial(call, client), retry=retry))


@pytest.fixture
def stopped(with_lake: Parts) -> Iterator[Parts]:
    """MinIO is stopped in the VM, and serves again afterwards."""
    with_lake.root("systemctl stop minio")
    yield with_lake
    with_lake.root("systemctl start --no-block minio")
    deadline = time.monotonic() + 240
    while True:
        try:
            with_lake.clients.minio.policy("spark-user")  # users and policies come last
            return
        except LakeError:
            assert time.monotonic() < deadline, "MinIO does not come back"
            time.sleep(0.5)


def test_a_stopped_minio(stopped: Parts) -> None:
    for call in [*READING["minio"].values(), *WRITING["minio"].values()]:
        assert "connection refused" in str(told(partial(call, stopped.clients.minio), retry=True))
