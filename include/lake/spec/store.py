"""The object store: its server, its buckets, its users."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from include.lake.spec.types import BucketName, Digest, GoModule, Model, Name, Port, Region, Scope, Text, Url
from include.lake.units import Days, Seconds, Size

BUILT_IN = {"diagnostics", "readonly", "readwrite", "writeonly"}  # MinIO's own policies (consoleAdmin is no name): a user's has the user's name


class Scanner(Model):
    """MinIO's usage scanner, which quota depends on."""

    speed: Literal["slowest", "slow", "default", "fast", "fastest"] = "default"
    cycle: Seconds = Seconds.parse("1 m")

    @property
    def round(self) -> Seconds:
        """From one round to the next: MinIO goes by the speed, whatever the cycle (its internal/config/scanner; see ADR 0017)."""
        return Seconds.parse({"fastest": "1 s", "slowest": "30 m"}.get(self.speed, "1 m"))


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


class Retention(Model):
    """How long a bucket's new objects may not be deleted or overwritten in place."""

    mode: Literal["governance", "compliance"] = "governance"
    period: Days

    def __str__(self) -> str:
        return f"{self.mode} {self.period}"


class Rule(Model):
    """What a bucket forgets by itself, below a prefix."""

    prefix: str = ""
    noncurrent: Days | None = None  # after so long a version that was overwritten or deleted goes
    delete_markers: bool = False  # a marker goes once it hides nothing any more
    expire: Days | None = None  # after so long a current object goes (with versioning: is hidden)

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not (self.noncurrent or self.delete_markers or self.expire):
            raise ValueError("a rule without noncurrent, delete_markers or expire does nothing; give one of them")
        if self.delete_markers and self.expire:
            raise ValueError("delete_markers and expire exclude each other in one rule, as S3 has it; make two rules of it")
        return self


class Bucket(Model):
    """A bucket and its governance."""

    name: BucketName
    versioning: bool = True
    object_lock: bool = False
    retention: Retention | None = None
    quota: Size | None = None
    lifecycle: Annotated[tuple[Rule, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _lock(self) -> Self:
        if self.quota == 0:
            raise ValueError("quota of 0 B; leave quota out for a bucket without one")
        if self.object_lock and not self.versioning:
            raise ValueError("object_lock without versioning; object lock switches versioning on, so declare it true")
        if self.retention and not self.object_lock:
            raise ValueError("retention without object_lock; only a bucket with object_lock: true keeps what must not be deleted")
        return self

    @model_validator(mode="after")
    def _rules(self) -> Self:
        if not self.versioning and any(r.noncurrent or r.delete_markers for r in self.lifecycle):
            raise ValueError("lifecycle of noncurrent versions or delete markers without versioning; there are none, so remove the rule")
        prefixes = [r.prefix for r in self.lifecycle if not r.expire], [r.prefix for r in self.lifecycle if r.expire]
        if any(len(set(p)) < len(p) for p in prefixes):
            raise ValueError("two lifecycle rules for one prefix; make one of them")
        return self


class User(Model):
    """A user of the object store, limited to its buckets."""

    name: Name
    role: Literal["read-write", "read-only", "append-only"] = "read-write"
    buckets: Annotated[tuple[Scope, ...], Field(min_length=1, strict=False)]
    secret: Name | None = None  # the Kubernetes secret that gets its key pair

    @field_validator("name")
    @classmethod
    def _no_policy_of_minios(cls, name: str) -> str:
        if name in BUILT_IN:
            raise ValueError(f"{name!r} is the name of a policy that MinIO comes with, and the user's own would replace it; give the user another name")
        return name

    def scopes(self, bucket: str) -> tuple[str, ...]:
        """The prefixes of a bucket it is limited to: `""` is the whole bucket, none means not at all."""
        return tuple(prefix for name, _, prefix in (s.partition("/") for s in self.buckets) if name == bucket)

    def rewrites(self, bucket: str, prefix: str) -> bool:
        """Whether it may write, overwrite and delete below a prefix, as a Spark job does."""
        return self.role == "read-write" and any(prefix.startswith(p) for p in self.scopes(bucket))
