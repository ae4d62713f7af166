"""A program out of a container image's archive, for one platform. Source: the OCI image layout and image index specifications."""

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Iterator
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
    except (tarfile.TarError, EOFError, LookupError, OSError, TypeError, ValueError) as error:
        cause = (str(error) or type(error).__name__).splitlines()[0].rstrip(":")
        raise LakeError("read", f"the image {archive}", f"it is no OCI archive ({cause})", "Make one with: skopeo copy docker://IMAGE oci-archive:FILE --all") from None  # fmt: skip
    raise LakeError("find", f"the program {name!r} in the image {archive}", "no layer has it")


def _manifest(tar: tarfile.TarFile, archive: Path, arch: str) -> Any:
    known: set[str] = set()
    for platform, digest in _images(tar, json.load(_member(tar, "index.json"))):
        if platform == f"linux/{arch}":
            return json.loads(_blob(tar, digest))
        known.add(platform)
    raise Refused(
        "take",
        f"MinIO out of the image {archive}",
        f"it has no linux/{arch} (it has {', '.join(sorted(known)) or 'nothing'})",
        f"Take one for the VM: --platform linux/{arch}",
    )


def _images(tar: tarfile.TarFile, index: Any) -> Iterator[tuple[str, str]]:
    """Every image of an index and of the indexes below it: platform and digest."""
    for entry in index["manifests"]:
        platform = entry.get("platform")
        if not platform or "index" in entry.get("mediaType", "") or "manifest.list" in entry.get("mediaType", ""):
            document = json.loads(_blob(tar, entry["digest"]))
            if "manifests" in document:
                yield from _images(tar, document)
                continue
            # A single image has its platform in its config.
            platform = json.loads(_blob(tar, document["config"]["digest"]))
        yield f"{platform.get('os')}/{platform.get('architecture')}", entry["digest"]


def _member(tar: tarfile.TarFile, name: str) -> Any:
    file = tar.extractfile(name)
    if file is None:
        raise KeyError(name)
    return file


def _blob(tar: tarfile.TarFile, digest: str) -> bytes:
    data = bytes(_member(tar, f"blobs/{digest.replace(':', '/')}").read())
    kind, _, value = digest.partition(":")
    if hashlib.new(kind, data).hexdigest() != value:
        raise ValueError(f"its blob {digest[:19]}… is damaged")
    return data


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
