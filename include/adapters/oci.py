"""A program out of a container image's archive, for one platform. Source: the OCI image layout and image index specifications."""

import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

from include.lake.errors import LakeError, Refused


def program_in(archive: Path, arch: str, name: str, target: Path) -> Path:
    """Take the program `name` out of an OCI archive for linux/`arch`. Raises Refused when the image has no such platform."""
    try:
        with tarfile.open(archive) as tar:
            manifest = _manifest(tar, archive, arch)
            # The last layer that has it wins; of several paths the shortest.
            for layer in reversed(manifest["layers"]):
                if _take(_blob(tar, layer["digest"]), name, target):
                    return target
    except (tarfile.TarError, KeyError, OSError, json.JSONDecodeError) as error:
        raise LakeError(
            "read", f"the image {archive}", f"it is no OCI archive ({error})", "Make one with: skopeo copy docker://IMAGE oci-archive:FILE --all"
        ) from None
    raise LakeError("find", f"the program {name!r} in the image {archive}", "no layer has it")


def _manifest(tar: tarfile.TarFile, archive: Path, arch: str) -> Any:
    index = json.load(_member(tar, "index.json"))
    platforms: list[str] = []
    while True:
        entries = index["manifests"]
        for entry in entries:
            platform = entry.get("platform") or _platform_of(tar, entry)
            platforms.append(f"{platform.get('os')}/{platform.get('architecture')}")
            if platform.get("os") == "linux" and platform.get("architecture") == arch:
                return json.load(io.BytesIO(_blob(tar, entry["digest"])))
        nested = [e for e in entries if "index" in e.get("mediaType", "") or "manifest.list" in e.get("mediaType", "")]
        if not nested:
            known = sorted(p for p in set(platforms) if "None" not in p)
            raise Refused(
                "take",
                f"MinIO out of the image {archive}",
                f"it has no linux/{arch} (it has {', '.join(known) or 'nothing'})",
                f"Take one for the VM: --platform linux/{arch}",
            )
        index = json.load(io.BytesIO(_blob(tar, nested[0]["digest"])))


def _platform_of(tar: tarfile.TarFile, entry: Any) -> Any:
    """A single image has its platform in its config."""
    document = json.load(io.BytesIO(_blob(tar, entry["digest"])))
    return json.load(io.BytesIO(_blob(tar, document["config"]["digest"]))) if "config" in document else {}


def _member(tar: tarfile.TarFile, name: str) -> Any:
    file = tar.extractfile(name)
    if file is None:
        raise KeyError(name)
    return file


def _blob(tar: tarfile.TarFile, digest: str) -> bytes:
    return bytes(_member(tar, f"blobs/{digest.replace(':', '/')}").read())


def _take(layer: bytes, name: str, target: Path) -> bool:
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        found = [m for m in tar.getmembers() if m.isfile() and Path(m.name).name == name]
        if not found:
            return False
        source = tar.extractfile(min(found, key=lambda m: len(m.name)))
        assert source is not None
        with open(target, "wb") as file:
            shutil.copyfileobj(source, file)
    target.chmod(0o755)
    return True
