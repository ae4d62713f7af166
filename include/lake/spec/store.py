"""The object store: its server, its buckets, its users."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from include.lake.spec.types import BucketName, Digest, GoModule, Model, Name, Port, Region, Text, Url
from include.lake.units import Seconds, Size


class Scanner(Model):
    """MinIO's usage scanner, which quota depends on."""

    speed: Literal["slowest", "slow", "default", "fast", "fastest"] = "default"
    cycle: Seconds = Seconds.parse("1 m")


class BinarySource(Model):
    """Where MinIO's server comes from: exactly one of the four."""

    go: GoModule | None = None
    file: Text | None = None
    url: Url | None = None
    sha256: Digest | None = None
    image: Text | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [k for k in ("go", "file", "url", "image") if getattr(self, k) is not None]
        if len(given) != 1:
            raise ValueError(f"{' and '.join(given) or 'no source'} given; give exactly one of go, file, url, image")
        if self.url and not self.sha256:
            raise ValueError("url without sha256; add the SHA-256 that the publisher states")
        if self.sha256 and not self.url:
            raise ValueError(f"sha256 is checked for a url only, and {given[0]} is given; remove it")
        return self


class Minio(Model):
    """The object store's server."""

    binary: BinarySource
    region: Region = "ap-northeast-2"
    port: Port = 9000
    console_port: Port = 9001
    durable_writes: bool = True
    scanner: Scanner = Scanner()

    @model_validator(mode="after")
    def _ports(self) -> Self:
        if self.port == self.console_port:
            raise ValueError(f"port and console_port are both {self.port}; give them different ones")
        return self


class Bucket(Model):
    """A bucket and its governance."""

    name: BucketName
    versioning: bool = True
    object_lock: bool = False
    quota: Size | None = None

    @model_validator(mode="after")
    def _lock(self) -> Self:
        if self.quota == 0:
            raise ValueError("quota of 0 B; leave quota out for a bucket without one")
        if self.object_lock and not self.versioning:
            raise ValueError("object_lock without versioning; object lock switches versioning on, so declare it true")
        return self


class User(Model):
    """A user of the object store, limited to its buckets."""

    name: Name
    role: Literal["read-write", "read-only"] = "read-write"
    buckets: Annotated[tuple[BucketName, ...], Field(min_length=1, strict=False)]
