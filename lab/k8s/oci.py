"""Container images made without a container tool: an OCI archive from plain layer archives."""

import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

PREFIX = "application/vnd.oci.image."


@dataclass(frozen=True)
class Image:
    """An image: its name with tag, its layers (uncompressed tar files, shared between images), its configuration."""

    name: str
    layers: tuple[Path, ...]
    config: dict[str, object] = field(default_factory=dict)


def sha256(path: Path) -> str:
    """The digest of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_archive(target: Path, images: Sequence[Image]) -> None:
    """Write images into one OCI archive; a layer that several share is in it once."""
    digests = {layer: sha256(layer) for layer in {x for image in images for x in image.layers}}
    with tarfile.open(target, "w") as archive:
        _add(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        for layer, digest in digests.items():
            archive.add(layer, f"blobs/sha256/{digest}")
        manifests = [_image(archive, image, digests) for image in images]
        index = {"schemaVersion": 2, "mediaType": PREFIX + "index.v1+json", "manifests": manifests}
        _add(archive, "index.json", json.dumps(index).encode())


def _image(archive: tarfile.TarFile, image: Image, digests: dict[Path, str]) -> dict[str, object]:
    layers = [{"mediaType": PREFIX + "layer.v1.tar", "digest": f"sha256:{digests[x]}", "size": x.stat().st_size} for x in image.layers]
    config = {"architecture": "amd64", "os": "linux", "config": image.config,
              "rootfs": {"type": "layers", "diff_ids": [x["digest"] for x in layers]}}  # fmt: skip
    manifest = {"schemaVersion": 2, "mediaType": PREFIX + "manifest.v1+json", "layers": layers,
                "config": _blob(archive, PREFIX + "config.v1+json", config)}  # fmt: skip
    entry = _blob(archive, PREFIX + "manifest.v1+json", manifest)
    return entry | {"annotations": {"io.containerd.image.name": image.name, "org.opencontainers.image.ref.name": image.name.rpartition(":")[2]}}


def _blob(archive: tarfile.TarFile, media: str, content: object) -> dict[str, object]:
    data = json.dumps(content).encode()
    digest = hashlib.sha256(data).hexdigest()
    _add(archive, f"blobs/sha256/{digest}", data)
    return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(data)}


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))
