"""A lab's secrets: made once, each in a file of mode 0600; and the certificate authority of its Proxmox stand-in."""

import datetime
import hashlib
import ipaddress
import json
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lab.run import sh
from lab.site import BRIDGE, NODE, RESTORE_VMID, STORAGE, VMID, Lab

ROOT_TOKEN, ADMIN_TOKEN = "root@pam!lab", "homelake@pve!admin"
BOOTSTRAP_TOKEN, NOPRIV_TOKEN = "homelake@pve!bootstrap", "nobody@pve!none"


def write(path: Path, text: str | bytes) -> None:
    """Write a file only its owner can read, in one step."""
    new = path.with_name(f".{path.name}.new")
    with open(new, "wb", opener=lambda p, f: os.open(p, f, 0o600)) as file:
        file.write(text.encode() if isinstance(text, str) else text)
    new.rename(path)


def secret(lab: Lab, name: str, size: int = 24) -> str:
    """The lab's secret of that name, made when it is first asked for."""
    path = lab.secrets / name
    if not path.exists():
        write(path, secrets.token_hex(size))
    return path.read_text()


def make(lab: Lab) -> None:
    """Make all of a lab's secrets that are not there yet."""
    for name in ("id_ed25519", "host_ed25519"):
        if not (lab.secrets / name).exists():
            sh("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"homelake-{lab.name}", "-f", lab.secrets / name)
    host_key = " ".join((lab.secrets / "host_ed25519.pub").read_text().split()[:2])
    write(lab.secrets / "known_hosts", f"{lab.vm} {host_key}\n")
    if not (lab.secrets / "pve.pem").exists():
        _certificates(lab)
    write(lab.secrets / "tokens.json", json.dumps(_tokens(lab)))
    secret(lab, "s3-root-password", 20)


def token(lab: Lab, name: str) -> str:
    """The secret of an API token."""
    return secret(lab, "token-" + name.replace("@", "-").replace("!", "-"), 16)


def _tokens(lab: Lab) -> dict[str, object]:
    from lab.pve.auth import DATASTORE, EVERYTHING, OTHER, VM

    rights: dict[str, dict[str, tuple[str, ...]]] = {
        ROOT_TOKEN: {"/": EVERYTHING},
        ADMIN_TOKEN: {"/": VM + DATASTORE + OTHER},
        # What the product's own connection may do, and no more.
        BOOTSTRAP_TOKEN: {f"/vms/{VMID}": ("VM.Audit", "VM.Backup", "VM.Config.Disk", "VM.Snapshot"), f"/nodes/{NODE}": ("Sys.Audit",),
                          f"/storage/{STORAGE}": ("Datastore.Audit", "Datastore.AllocateSpace"), "/storage/local": ("Datastore.Audit", "Datastore.AllocateSpace"),
                          # For a backup that is restored beside the original.
                          f"/vms/{RESTORE_VMID}": ("VM.Allocate", "VM.Audit", "VM.Config.Network", "VM.Config.Options", "VM.Monitor", "VM.PowerMgmt"),
                          f"/sdn/zones/localnetwork/{BRIDGE}": ("SDN.Use",)},
        NOPRIV_TOKEN: {},
    }  # fmt: skip
    return {n: {"sha256": hashlib.sha256(token(lab, n).encode()).hexdigest(), "acl": acl} for n, acl in rights.items()}


def _certificates(lab: Lab) -> None:
    names = [x509.IPAddress(ipaddress.ip_address(lab.pve)), x509.DNSName(NODE), x509.DNSName(f"{NODE}.lab")]
    ca, key, leaf = certificates(f"Homelake lab {lab.name} CA", f"{NODE}.lab", names)
    write(lab.secrets / "pve.key", key)
    write(lab.secrets / "ca.pem", ca)
    write(lab.secrets / "pve.pem", leaf + ca)


def certificates(authority: str, server: str, names: Sequence[x509.GeneralName]) -> tuple[bytes, bytes, bytes]:
    """A certificate authority of one server, for ten years: its certificate, the server's key, and the server's certificate, as PEM."""
    now = datetime.datetime.now(datetime.UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, authority)])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, server)])

    def builder(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (x509.CertificateBuilder().subject_name(subject).issuer_name(ca_name).public_key(public).serial_number(x509.random_serial_number())
                .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=3650)))  # fmt: skip

    usage = x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
                          data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False)  # fmt: skip
    ca = (builder(ca_name, ca_key.public_key()).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
          .add_extension(usage, critical=True).add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
          .sign(ca_key, hashes.SHA256()))  # fmt: skip
    leaf = (builder(name, key.public_key()).add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
            .sign(ca_key, hashes.SHA256()))  # fmt: skip
    pem = serialization.Encoding.PEM
    secret_key = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return ca.public_bytes(pem), secret_key, leaf.public_bytes(pem)
