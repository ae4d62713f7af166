"""What any client of a lab needs: addresses and credentials."""

from pathlib import Path

from lab import keys, vm
from lab.k8s import broker
from lab.site import NODE, REGION, STORAGE, VMID, Lab


def facts(lab: Lab) -> dict[str, str | Path | int]:
    """Addresses and credentials of a lab, by the names `lab env` prints."""
    return {
        "PVE_URL": f"https://{lab.pve}:8006", "PVE_TOKEN_ID": keys.ADMIN_TOKEN, "PVE_TOKEN_SECRET": keys.token(lab, keys.ADMIN_TOKEN),
        "PVE_BOOTSTRAP_TOKEN_ID": keys.BOOTSTRAP_TOKEN, "PVE_BOOTSTRAP_TOKEN_SECRET": keys.token(lab, keys.BOOTSTRAP_TOKEN),
        "PVE_NOPRIV_TOKEN_ID": keys.NOPRIV_TOKEN, "PVE_NOPRIV_TOKEN_SECRET": keys.token(lab, keys.NOPRIV_TOKEN),
        "PVE_STORAGE": STORAGE, "PVE_NODE": NODE, "PVE_VMID": VMID, "PVE_CA": lab.secrets / "ca.pem",
        "SSH_HOST": lab.vm, "SSH_PORT": 22, "SSH_USER": vm.SSH_USER, "SSH_KEY": lab.secrets / "id_ed25519", "SSH_KNOWN_HOSTS": lab.secrets / "known_hosts",
        "S3_ENDPOINT": f"http://{lab.vm}:9000", "S3_REGION": REGION, "S3_ROOT_USER": "lakeroot", "S3_ROOT_PASSWORD": keys.secret(lab, "s3-root-password", 20),
        "S3_CA": "", "KUBECONFIG": lab.kubeconfig, "KAFKA_BOOTSTRAP": broker.address(lab),
    }  # fmt: skip
