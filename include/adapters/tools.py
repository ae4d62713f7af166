"""What a program is made with on this machine: Go and skopeo, and whether they serve."""

import re
import shutil
import subprocess

from include.lake.errors import LakeError

GO = (1, 24)  # what MinIO's last versions ask for in their go.mod
_INSTALL = "Install Go 1.24 or newer, or declare minio.binary as a file, a URL or an image"
_FETCHES = (1, 21)  # from here on Go fetches a newer one by itself, unless GOTOOLCHAIN keeps it from that


def go_for(module: str) -> str:
    """Where Go is. Raises LakeError when it is not on this machine."""
    if not (go := shutil.which("go")):
        raise LakeError("build", module, "there is no go on this machine", _INSTALL)
    return go


def skopeo_for(image: str) -> str:
    """Where skopeo is. Raises LakeError when it is not on this machine."""
    if not (skopeo := shutil.which("skopeo")):
        raise LakeError(
            "fetch", f"the image {image}", "there is no skopeo on this machine", "apt-get install skopeo, or name a local archive: oci-archive:PATH"
        )
    return skopeo


def go_env(go: str, *names: str) -> list[str]:
    """Go's own settings of these names, each of them."""
    done = subprocess.run([go, "env", *names], capture_output=True, text=True, check=False, cwd="/")  # a go.mod or go.work here is no matter
    if done.returncode:
        raise LakeError("run", go, (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1], "Try it yourself: go env")
    return [*done.stdout.splitlines(), *[""] * len(names)][: len(names)]


def go_version(module: str) -> str:
    """Go's version. Raises LakeError when there is none, or one that is too old for MinIO's last versions and fetches no newer one."""
    version, toolchain = go_env(go_for(module), "GOVERSION", "GOTOOLCHAIN")
    found = re.search(r"go(\d+)\.(\d+)", version)
    number = (int(found[1]), int(found[2])) if found else GO
    if number < GO and (number < _FETCHES or not re.fullmatch(r"(.*\+)?auto", toolchain)):
        raise LakeError("build", module, f"{version} on this machine is older than Go 1.24, and fetches no newer one", _INSTALL)
    return version
