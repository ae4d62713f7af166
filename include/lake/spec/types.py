"""The kinds of value that a declaration holds: each says in its error how it is written."""

import re
from pathlib import PurePosixPath
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from include.lake.spec.cron import cron


def absolute(path: str) -> str:
    """A path that may go into /etc/fstab and systemd's units. Raises ValueError."""
    pure = PurePosixPath(path)
    plain = re.fullmatch(r"[-\w./]+", path, re.ASCII)  # it goes into /etc/fstab and systemd's units, which give spaces and % a meaning
    if not plain or not pure.is_absolute() or ".." in pure.parts or str(pure) != path or len(pure.parts) < 3:
        raise ValueError(f"{path!r} is not a plain absolute path of two parts or more; write it as /mnt/minio_data")
    return path


def _named(pattern: str, form: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"{text!r} is not {form}")
        return text

    return AfterValidator(check)


Name = Annotated[str, _named(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", "a name of lower-case letters, digits and dashes, at most 63")]
NodeName = Annotated[str, _named(r"[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?", "the name of a Proxmox VE node: letters, digits and dashes, as a host name")]
_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_BUCKET = rf"(?=.{{3,63}}$)(?!\d+(\.\d+){{3}}$){_LABEL}(\.{_LABEL})*"
BucketName = Annotated[str, _named(_BUCKET, "a bucket name of 3 to 63 lower-case letters, digits, dashes and single dots, and no IP address")]
Account = Annotated[str, _named(r"(?!root$)[a-z_][-a-z0-9_]{0,30}", "a Unix account name other than root: lower-case letters, digits, - and _")]
Key = Annotated[str, _named(r"[-._a-zA-Z0-9]{1,253}", "a Kubernetes secret's key: letters, digits, -, _ and .")]
Region = Annotated[str, _named(r"[a-z]{2}(-[a-z]+)+-\d", "a region such as ap-northeast-2")]
Digest = Annotated[str, _named(r"[0-9a-f]{64}", "a SHA-256 in 64 hexadecimal digits")]
Uuid = Annotated[str, _named(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "a filesystem's UUID in lower case, as blkid prints it")]
Slot = Annotated[str, _named(r"scsi([1-9]|[12]\d|30)", "a SCSI slot from scsi1 to scsi30 (scsi0 is the VM's own disk)")]
Storage = Annotated[str, _named(r"[a-zA-Z][-\w.]*", "the name of a Proxmox VE storage")]
GoModule = Annotated[str, _named(r"[\w./-]+@v[\w.+-]+", "a Go module with its version, as github.com/minio/minio@v0.0.0-…")]
Url = Annotated[str, _named(r"https?://\S+", "an http or https URL")]
S3aPath = Annotated[str, _named(r"s3a://[a-z0-9.-]+/.+", "a path in a bucket, as s3a://datalake/test-output/")]
TopicName = Annotated[str, _named(r"(?!\.{1,2}$)[-._a-zA-Z0-9]{1,249}", "a topic's name of at most 249 letters, digits, dots, dashes and underscores")]
Cron = Annotated[str, AfterValidator(cron)]
Text = Annotated[str, _named(r"\S.*", "text that says something")]
Port = Annotated[int, Field(ge=1, le=65535)]


Scope = Annotated[str, _named(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/([^/*?\s]+/)+)?", "a bucket, or a bucket with a prefix that ends in /, as datalake/raw/")]


class Model(BaseModel):
    """Strict base: unknown keys are errors, values do not change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)

    @field_validator("*", mode="before")
    @classmethod
    def _null(cls, value: Any, info: ValidationInfo) -> Any:
        """YAML's own word is `null`: `none` would be the name of something, as of a secret."""
        if isinstance(value, str) and value.lower() == "none" and type(None) in get_args(cls.model_fields[info.field_name or ""].annotation):
            raise ValueError(f"{value!r} is text; write null, or leave it out")
        return value
