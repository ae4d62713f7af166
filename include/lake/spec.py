"""`lake.yaml`: its form, its defaults, and errors that say where, why and what to do, all at once."""

import difflib
import hashlib
import json
import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from include.lake.errors import SpecError
from include.lake.units import Seconds, Size

LAKE_FILE = Path(__file__).resolve().parents[1] / "lake.yaml"


def _absolute(path: str) -> str:
    pure = PurePosixPath(path)
    if not pure.is_absolute() or ".." in pure.parts or str(pure) != path or len(pure.parts) < 3:
        raise ValueError("not a plain absolute path of two parts or more; write it as /mnt/minio_data")
    return path


def _named(pattern: str, form: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"{text!r} is not {form}")
        return text

    return AfterValidator(check)


Name = Annotated[str, _named(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", "a name of lower-case letters, digits and dashes, at most 63")]
BucketName = Annotated[str, _named(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "a bucket name of 3 to 63 lower-case letters, digits, dots and dashes")]
Account = Annotated[str, _named(r"[a-z_][-a-z0-9_]{0,30}", "a Unix account name: lower-case letters, digits, - and _")]
Key = Annotated[str, _named(r"[-._a-zA-Z0-9]{1,253}", "a Kubernetes secret's key: letters, digits, -, _ and .")]
Region = Annotated[str, _named(r"[a-z]{2}(-[a-z]+)+-\d", "a region such as ap-northeast-2")]
Digest = Annotated[str, _named(r"[0-9a-f]{64}", "a SHA-256 in 64 hexadecimal digits")]
Slot = Annotated[str, _named(r"scsi([1-9]|[12]\d|30)", "a SCSI slot from scsi1 to scsi30 (scsi0 is the VM's own disk)")]
Storage = Annotated[str, _named(r"[a-zA-Z][-\w.]*", "the name of a Proxmox VE storage")]
GoModule = Annotated[str, _named(r"[\w./-]+@v[\w.+-]+", "a Go module with its version, as github.com/minio/minio@v0.0.0-…")]
Url = Annotated[str, _named(r"https?://\S+", "an http or https URL")]
S3aPath = Annotated[str, _named(r"s3a://[a-z0-9.-]+/.+", "a path in a bucket, as s3a://datalake/test-output/")]
Port = Annotated[int, Field(ge=1, le=65535)]


class Model(BaseModel):
    """Strict base: unknown keys are errors, values do not change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


class Disk(Model):
    """The VM's data disk, as Proxmox VE knows it."""

    slot: Slot = "scsi1"
    storage: Storage = "local-lvm"
    size: Size = Size.parse("500 GiB")
    ssd: bool = True
    discard: bool = True
    backup: bool = True
    iothread: bool | None = None

    @model_validator(mode="after")
    def _whole_gib(self) -> Self:
        if self.size % 2**30:
            raise ValueError(f"size {self.size} is not a whole number of GiB, which Proxmox VE needs")
        return self


class Vm(Model):
    """The virtual machine that carries the lake. It exists already; Homelake adds the data disk to it."""

    node: Name = "pve"
    vmid: Annotated[int, Field(ge=100, le=999_999_999)]
    disk: Disk = Disk()


class Filesystem(Model):
    """The filesystem on the data disk and where it is mounted."""

    type: Literal["ext4"] = "ext4"
    mount_point: Annotated[str, AfterValidator(_absolute)] = "/mnt/minio_data"


class Scanner(Model):
    """MinIO's usage scanner, which quota depends on."""

    speed: Literal["slowest", "slow", "default", "fast", "fastest"] = "default"
    cycle: Seconds = Seconds.parse("1 m")


class BinarySource(Model):
    """Where MinIO's server comes from: exactly one of the four."""

    go: GoModule | None = None
    file: str | None = None
    url: Url | None = None
    sha256: Digest | None = None
    image: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [k for k in ("go", "file", "url", "image") if getattr(self, k) is not None]
        if len(given) != 1:
            raise ValueError(f"{' and '.join(given) or 'no source'} given; give exactly one of go, file, url, image")
        if self.url and not self.sha256:
            raise ValueError("url without sha256; add the SHA-256 that the publisher states")
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
        if self.object_lock and not self.versioning:
            raise ValueError("object_lock without versioning; object lock switches versioning on, so declare it true")
        return self


class User(Model):
    """A user of the object store, limited to its buckets."""

    name: Name
    role: Literal["read-write", "read-only"] = "read-write"
    buckets: Annotated[tuple[BucketName, ...], Field(min_length=1, strict=False)]


class KeySecret(Model):
    """The Kubernetes secret that holds a user's key pair."""

    name: Name = "minio-s3-keys"
    user: Name = "spark-user"
    access_key: Key = "access-key"
    secret_key: Key = "secret-key"

    @model_validator(mode="after")
    def _keys(self) -> Self:
        if self.access_key == self.secret_key:
            raise ValueError("access_key and secret_key name the same key; give them different names")
        return self


class Kubernetes(Model):
    """Where the Spark jobs run."""

    namespace: Name = "spark-jobs"
    service_account: Name = "spark-sa"
    secret: KeySecret = KeySecret()


class Spark(Model):
    """The Spark job."""

    image: str
    image_pull_secret: Name | None = None
    schedule: str | None = None
    output: S3aPath = "s3a://datalake/test-output/"


class LakeSpec(Model):
    """The whole declaration."""

    name: Name
    vm: Vm
    filesystem: Filesystem = Filesystem()
    account: Account = "minio-user"
    minio: Minio
    buckets: Annotated[tuple[Bucket, ...], Field(min_length=1, strict=False)]
    users: Annotated[tuple[User, ...], Field(strict=False)] = ()
    kubernetes: Kubernetes = Kubernetes()
    spark: Spark

    @model_validator(mode="after")
    def _references(self) -> Self:
        buckets, users = [b.name for b in self.buckets], [u.name for u in self.users]
        for kind, names in (("buckets", buckets), ("users", users)):
            if twice := {n for n in names if names.count(n) > 1}:
                raise ValueError(f"{kind}: {', '.join(sorted(twice))} declared twice; names must differ")
        for user in self.users:
            if missing := set(user.buckets) - set(buckets):
                raise ValueError(f"users: {user.name} names the bucket {', '.join(sorted(missing))}, which is not declared")
        if self.kubernetes.secret.user not in users:
            raise ValueError(f"kubernetes.secret.user: {self.kubernetes.secret.user!r} is not declared under users")
        if self.spark.output.split("/")[2] not in buckets:
            raise ValueError(f"spark.output: its bucket {self.spark.output.split('/')[2]!r} is not declared under buckets")
        return self

    def digest(self) -> str:
        """A short name of this very declaration: a run that started with one refuses to go on with another."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()[:16]


def read_spec(path: Path = LAKE_FILE) -> LakeSpec:
    """Read and check a declaration. Raises SpecError with every problem in it, and nothing else."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 (a subclass of the safe loader)
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(str(path), (f"{error.strerror if isinstance(error, OSError) else 'it is not UTF-8 text'}",)) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        raise SpecError(str(path), (f"{where}{getattr(error, 'problem', None) or 'it is not YAML'}",)) from None
    if not isinstance(content, dict):
        raise SpecError(str(path), ("the file holds no keys; start from the example in docs/reference/lake-yaml.md",))
    try:
        return LakeSpec.model_validate(content)
    except ValidationError as error:
        problems = error.errors()
        # A list whose only item is wrong is also "too short": the item's own problem says it all.
        inner = {e["loc"][: len(e["loc"]) - n] for e in problems for n in range(1, len(e["loc"]) + 1)}
        told = [e for e in problems if not (e["type"] == "too_short" and e["loc"] in inner)]
        raise SpecError(str(path), tuple(dict.fromkeys(_explain(e) for e in told))) from None


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML in which a key given twice is an error, as whoever wrote it meant only one of the two."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {name!r} is given twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep=deep)  # type: ignore[no-any-return]


def _explain(error: Any) -> str:
    location, kind, context = error["loc"], error["type"], error.get("ctx", {})
    where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in location).lstrip(".") or "the file"
    if kind == "extra_forbidden":
        known = _fields_at(location[:-1])
        near = difflib.get_close_matches(str(location[-1]), known, 1)
        return f"{where}: unknown key. " + (f"Did you mean {near[0]!r}?" if near else f"Known here: {', '.join(known)}.")
    if kind == "missing":
        return f"{where}: missing. Add it."
    if kind == "value_error":
        return f"{where}: {context.get('error', error['msg'])}."
    given = "" if isinstance(error["input"], (dict, list)) else f"{error['input']!r} is not valid: "
    return f"{where}: {given}{error['msg'][:1].lower()}{error['msg'][1:]}."


def _fields_at(location: tuple[Any, ...]) -> list[str]:
    model: Any = LakeSpec
    for part in location:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        model = next((a for a in getattr(annotation, "__args__", ()) if hasattr(a, "model_fields")), annotation)
    return list(model.model_fields)
