"""API tokens and what each may do where."""

import hashlib
import hmac
import json
import re
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path

from lab.pve.errors import ApiError, denied

VM = ("VM.Allocate", "VM.Audit", "VM.Backup", "VM.Clone", "VM.Config.CDROM", "VM.Config.CPU", "VM.Config.Cloudinit", "VM.Config.Disk",
      "VM.Config.HWType", "VM.Config.Memory", "VM.Config.Network", "VM.Config.Options", "VM.Console", "VM.Migrate", "VM.Monitor",
      "VM.PowerMgmt", "VM.Snapshot", "VM.Snapshot.Rollback")  # fmt: skip
DATASTORE = ("Datastore.Allocate", "Datastore.AllocateSpace", "Datastore.AllocateTemplate", "Datastore.Audit")
OTHER = ("Group.Allocate", "Mapping.Audit", "Mapping.Modify", "Mapping.Use", "Permissions.Modify", "Pool.Allocate", "Pool.Audit", "Realm.Allocate",
         "Realm.AllocateUser", "SDN.Allocate", "SDN.Audit", "SDN.Use", "Sys.AccessNetwork", "Sys.Audit", "Sys.Console", "Sys.Incoming", "Sys.Modify",
         "Sys.PowerMgmt", "Sys.Syslog", "User.Modify")  # fmt: skip
EVERYTHING = VM + DATASTORE + OTHER
_TOP = ("/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms")


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
        """Whether it may set what only root may. The real one grants that to a login of root, never to a token: the lab's own stands in for it."""
        return self.user == "root@pam"

    def privileges(self, path: str) -> set[str]:
        """What it may do at a path: the nearest entry at or above it decides, as in the real one."""
        parts = path.rstrip("/").split("/")
        for length in range(len(parts), 0, -1):
            above = "/".join(parts[:length]) or "/"
            if above in self.acl:
                return set(self.acl[above])
        return set()

    def permissions(self) -> dict[str, dict[str, int]]:
        """Its privileges at every path that has an entry of its own or is a place's top."""
        found = {path: self.privileges(path) for path in sorted({*_TOP, *self.acl})}
        return {path: dict.fromkeys(sorted(privileges), 1) for path, privileges in found.items() if privileges}

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

    def get(self, token: str) -> Who | None:
        """The token of that id."""
        entry = self.known.get(token)
        return Who(token, {path: tuple(p) for path, p in entry["acl"].items()}) if entry else None

    def who(self, header: str | None) -> Who:
        """Whose an `Authorization` header is. Raises 401."""
        match = re.search(r"(?:^|\s)PVEAPIToken[= ]([^;]*)", header or "")
        if not match or not match[1]:
            raise ApiError(401, "No ticket")
        token, equals, secret = urllib.parse.unquote(match[1]).rpartition("=")
        user, _, name = token.partition("!")
        if not equals:
            raise ApiError(401, "no tokenid specified")
        known = self.get(token)
        if known is None:
            there = any(t.startswith(f"{user}!") for t in self.known)
            raise ApiError(401, f"no such token '{name}' for user '{user}'" if there else f"no such user ('{user}')")
        if not hmac.compare_digest(self.known[token]["sha256"], hashlib.sha256(secret.encode()).hexdigest()):
            raise ApiError(401, "invalid token value!")
        return known
