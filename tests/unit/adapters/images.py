"""OCI archives, made on the spot: layers of files, images, indexes."""

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

INDEX, MANIFEST = "application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json"


def layer(files: dict[str, bytes], *, links: dict[str, str] | None = None, packed: bool = True) -> bytes:
    """A layer with these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            tar.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    return gzip.compress(buffer.getvalue(), mtime=0) if packed else buffer.getvalue()


class Archive:
    """An OCI archive being made."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}

    def blob(self, content: bytes | dict[str, Any]) -> dict[str, Any]:
        """Add a blob; its descriptor."""
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        digest = hashlib.sha256(data).hexdigest()
        self.files[f"blobs/sha256/{digest}"] = data
        return {"digest": f"sha256:{digest}", "size": len(data)}

    def image(self, arch: str, *layers: bytes, os: str = "linux", labelled: bool = True, variant: str = "") -> dict[str, Any]:
        """Add an image; its descriptor, with its platform when it is `labelled`."""
        config = self.blob({"architecture": arch, "os": os, "rootfs": {"type": "layers"}})
        manifest = self.blob({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [self.blob(x) for x in layers]})
        platform = {"os": os, "architecture": arch} | ({"variant": variant} if variant else {})
        return manifest | {"mediaType": MANIFEST} | ({"platform": platform} if labelled else {})

    def index(self, *entries: dict[str, Any]) -> dict[str, Any]:
        """Add an index below the top one; its descriptor."""
        return self.blob({"schemaVersion": 2, "mediaType": INDEX, "manifests": list(entries)}) | {"mediaType": INDEX}

    def write(self, path: Path, *entries: dict[str, Any]) -> Path:
        """Write it with these entries at the top."""
        self.files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": list(entries)}).encode()
        return self.write_files(path)

    def write_files(self, path: Path) -> Path:
        """Write it as it is."""
        with tarfile.open(path, "w") as tar:
            for name, data in self.files.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        return path
