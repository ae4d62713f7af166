"""API tokens and what each may do where."""

import hashlib
import hmac
import json
from dataclasses import dataclass, field
from pathlib import Path

from lab.pve.errors import ApiError, denied

VM = ("VM.Allocate", "VM.Audit", "VM.Backup", "VM.Clone", "VM.Config.CDROM", "VM.Config.CPU", "VM.Config.Cloudinit", "VM.Config.Disk",
      "VM.Config.HWType", "VM.Config.Memory", "VM.Config.Network", "VM.Config.Options", "VM.Console", "VM.Migrate", "VM.Monitor",
      "VM.PowerMgmt", "VM.Snapshot", "VM.Snapshot.Rollback")  # fmt: skip
DATASTORE = ("Datastore.Allocate", "Datastore.AllocateSpace", "Datastore.AllocateTemplate", "Datastore.Audit")
OTHER = ("Pool.Allocate", "Pool.Audit", "SDN.Use", "SDN.Audit", "Sys.Audit", "Sys.Modify", "Sys.PowerMgmt", "Sys.Syslog", "Mapping.Use")
EVERYTHING = VM + DATASTORE + OTHER


@dataclass(frozen=True)
class Who:
    """The token a call was made with. `acl` holds privileges by path; they hold for everything below it too."""

    token: str
    acl: dict[str, tuple[str, ...]] = field(repr=False, default_factory=dict)

    @property
    def user(self) -> str:
        """The user whose token it is."""
        return self.token.partition("!")[0]

    @property
    def root(self) -> bool:
        """Whether it may set what only root may."""
        return self.user == "root@pam"

    def privileges(self, path: str) -> set[str]:
        """What it may do at a path: the nearest entry at or above it decides, as in the real one."""
        parts = path.rstrip("/").split("/")
        for length in range(len(parts), 0, -1):
            above = "/".join(parts[:length]) or "/"
            if above in self.acl:
                return set(self.acl[above])
        return set()

    def may(self, path: str, *any_of: str) -> bool:
        """Whether it has one of the privileges at the path."""
        return self.root or bool(self.privileges(path).intersection(any_of))

    def need(self, path: str, *any_of: str) -> None:
        """Raise 403 unless it has one of the privileges at the path."""
        if not self.may(path, *any_of):
            raise denied(path, *any_of)


class Tokens:
    """The tokens file: `{"user@realm!id": {"sha256": …, "acl": {path: [privilege]}}}`; secrets only as hashes."""

    def __init__(self, file: Path) -> None:
        self.known = json.loads(file.read_text())

    def who(self, header: str | None) -> Who:
        """Whose an `Authorization` header is. Raises 401."""
        scheme, _, rest = (header or "").partition("=")
        if scheme != "PVEAPIToken":
            raise ApiError(401, "No ticket")
        token, _, secret = rest.rpartition("=") if "=" in rest else rest.partition(":")
        entry = self.known.get(token)
        given = hashlib.sha256(secret.encode()).hexdigest()
        if entry is None:
            raise ApiError(401, f"no such token '{token.partition('!')[2]}' for user '{token.partition('!')[0]}'")
        if not hmac.compare_digest(entry["sha256"], given):
            raise ApiError(401, "invalid token value!")
        return Who(token, {path: tuple(p) for path, p in entry["acl"].items()})
