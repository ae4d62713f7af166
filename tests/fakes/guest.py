"""A VM in memory: one disk, one mount point, accounts, programs, one service."""

import re
from dataclasses import replace

from include.connections import Connection, secret_of
from include.lake.errors import LakeError, Refused, Unreachable
from include.lake.resources.account import AccountState
from include.lake.resources.binary import Source
from include.lake.resources.filesystem import MAKING, DeviceFacts, FilesystemState
from include.lake.resources.mount import MountFacts
from include.lake.resources.service import ServiceState
from include.lake.secret import Secret, SecretRef
from include.lake.usage import Volume
from tests.fakes.base import Fake, writing

ELF = b"\x7fELF\x02\x01\x01" + bytes(11) + b"\x3e\x00" + bytes(44)  # x86_64
AGPL = "minio version RELEASE.2025 (commit)\nRuntime: go1.24 linux/amd64\nLicense: GNU AGPLv3 - https://www.gnu.org/licenses/agpl-3.0.html\n"


class FakeGuest(Fake):
    """The guest. `disks` maps slots to what they carry: signatures, and a filesystem when there is one."""

    def __init__(self) -> None:
        super().__init__()
        self.disks: dict[str, tuple[tuple[str, ...], FilesystemState | None]] = {"scsi1": ((), None)}
        self.fstab: dict[str, tuple[str, str, str]] = {}
        self.mounts: dict[str, str] = {}
        self.protected: set[str] = set()
        self.bare: dict[str, int] = {}
        self.accounts: dict[str, AccountState] = {}  # `owns_data` is kept in `owners`
        self.owners: dict[str, str] = {}  # mounted directory → the account it belongs to
        self.content: dict[str, str] = {}  # mounted directory → the account that what lies in it belongs to
        self.sources: dict[str, tuple[str, bytes, str]] = {}  # source → sha256, head, what it says
        self.built: set[str] = set()
        self.lacking: LakeError | None = None  # what the bastion has not, to build or fetch
        self.staged: dict[str, str] = {}  # sha256 → what it says
        self.origins: dict[str, str] = {}  # sha256 → the source that is noted with it
        self.by_hand: dict[str, str] = {}  # the same, of what someone else put in place
        self.links: dict[str, str] = {}
        self.foreign: set[str] = set()  # of `account`: what someone else made
        self.previous: dict[str, str] = {}
        self.broken: set[str] = set()  # programs that pass every check and do not start
        self.notes: dict[str, str] = {}
        self.services: dict[str, ServiceState] = {}
        self.outdated: set[str] = set()  # services whose unit was written while they ran
        self.unread: set[str] = set()  # the same, of which systemd itself says so
        self.under: dict[str, str | None] = {}  # the unit that a service was started with
        self.looping: str | None = None
        self.kept: dict[str, ServiceState] = {}  # settings kept beside those in use
        self.running: dict[str, Secret] = {}  # root's credentials that a running service was started with
        self.credentials = Secret("root:password")
        self.fill = Volume(5 << 30, 495 << 30, 1000, 99_000, 0, 0, None)

    def volume(self, mount_point: str) -> Volume:
        """Of a mounted filesystem: a hundredth of 500 GiB in use."""
        if mount_point not in self.mounts:
            raise LakeError("measure", f"the volume at {mount_point}", "it is not mounted", "Run ./lake plan")
        return self.fill

    # Disk, filesystem, mount

    def device(self, slot: str) -> DeviceFacts:
        if slot not in self.disks:
            raise Unreachable(f"the disk of {slot}", "it is not there")
        return DeviceFacts(f"/dev/{slot}", *self.disks[slot])

    def _disk(self, path: str) -> tuple[tuple[str, ...], FilesystemState | None]:
        if path[5:] not in self.disks:
            raise LakeError("open", path, "it is not there")
        return self.disks[path[5:]]

    @writing
    def make_filesystem(self, path: str, state: FilesystemState, *, again: bool) -> None:
        self.half_make_filesystem(path, state, again=again)
        self._set(path, replace(state, fills_device=True))

    def half_make_filesystem(self, path: str, state: FilesystemState, *, again: bool) -> None:
        if state.type != "ext4":
            raise LakeError("make", f"a filesystem of type {state.type}", "only ext4 is supported")
        signatures, found = self._disk(path)
        if again:
            if not found or (found.uuid, found.label) != (state.uuid, MAKING):
                raise Refused("format", path, "it does not carry what was begun")
        elif signatures:
            raise Refused("format", path, "it carries something now")
        self._set(path, replace(state, label=MAKING))

    def _set(self, path: str, state: FilesystemState) -> None:
        self.disks[path[5:]] = ((state.type,), state)

    @writing
    def grow_filesystem(self, path: str) -> None:
        state = self._disk(path)[1]
        if not state or state.type != "ext4":
            raise LakeError("grow", path, "it carries no ext4")
        self._set(path, replace(state, fills_device=True))

    def mount_facts(self, target: str) -> MountFacts:
        entry = self.fstab.get(target)
        named = {name: s.uuid for slot, (_, s) in self.disks.items() if s for name in (f"/dev/{slot}", f"LABEL={s.label}", s.uuid)}
        leads_to = named.get(entry[0]) if entry else None
        return MountFacts(entry, self.mounts.get(target), target in self.protected, self.bare.get(target, 0), leads_to)

    @writing
    def protect(self, target: str) -> None:
        self.protected.add(target)

    @writing
    def write_fstab(self, target: str, uuid: str, fstype: str, options: str) -> None:
        self.fstab[target] = (uuid, fstype, options)

    @writing
    def mount(self, target: str) -> None:
        uuid = self.fstab[target][0] if target in self.fstab else None
        if uuid not in {state.uuid for _, state in self.disks.values() if state}:
            raise LakeError("mount", target, f"there is no filesystem {uuid}" if uuid else "/etc/fstab has no line for it")
        self.mounts[target] = uuid

    @writing
    def erase_filesystem(self, path: str, uuid: str) -> None:
        signatures, state = self._disk(path)
        if not signatures:
            return
        if not state or state.uuid != uuid:
            raise LakeError("erase", path, "it carries another filesystem")
        if uuid in self.mounts.values():
            raise LakeError("erase", path, "it is mounted")
        self.disks[path[5:]] = ((), None)

    @writing
    def unmount(self, target: str) -> None:
        self.mounts.pop(target, None)

    @writing
    def remove_directory(self, target: str) -> None:
        if target in self.mounts or self.bare.get(target):
            raise LakeError("remove", target, "it is mounted, or not empty")
        self.protected.discard(target)

    @writing
    def remove_entry(self, target: str) -> None:
        self.fstab.pop(target, None)

    # Accounts

    def account(self, name: str, data_dir: str) -> AccountState | None:
        if data_dir in self.mounts and self.content.get(data_dir, name) != name:
            raise Refused("use", f"account/{name}", f"what lies in {data_dir} belongs to {self.content[data_dir]}")
        owns = data_dir in self.mounts and self.owners.get(data_dir) == name
        return replace(self.accounts[name], owns_data=owns) if name in self.accounts else None

    @writing
    def add_account(self, name: str) -> None:
        if name in self.accounts:
            raise LakeError("add", f"account {name}", "it is there already")
        self.accounts[name] = AccountState(system=True, login=False)

    def _account(self, name: str) -> AccountState:
        if name not in self.accounts:
            raise LakeError("change", f"account {name}", "there is none")
        return self.accounts[name]

    @writing
    def close_login(self, name: str) -> None:
        self.accounts[name] = replace(self._account(name), login=False)

    @writing
    def give_data(self, name: str, data_dir: str) -> None:
        self._account(name)
        if data_dir not in self.mounts:
            raise LakeError("give", data_dir, "it is not mounted")
        self.owners[data_dir] = name

    def made_account(self, name: str) -> bool:
        return name in self.accounts and "account" not in self.foreign

    @writing
    def remove_account(self, name: str) -> None:
        self.accounts.pop(name, None)
        self.content.update({where: "990" for where, owner in self.content.items() if owner == name})  # its number stays

    # Programs

    def _source(self, source: Source) -> tuple[str, bytes, str]:
        if str(source) not in self.sources:
            raise LakeError("read", str(source), "it is not there")
        return self.sources[str(source)]

    def digest(self, source: Source, machine: str) -> str | None:
        if source.url:
            return source.sha256
        sha256 = self._source(source)[0]
        return sha256 if sha256 in self.built or source.file else None

    def ready(self, source: Source) -> str:
        if self.lacking:
            raise self.lacking
        self._source(source)
        return "go1.26"

    def fetch(self, source: Source, machine: str) -> tuple[str, bytes]:
        sha256, head, _ = self._source(source)
        if source.url and source.sha256 != sha256:
            raise LakeError("fetch", source.url, "it has another SHA-256")
        self.built.add(sha256)
        return sha256, head

    def machine(self) -> str:
        return "x86_64"

    def installed(self, name: str) -> str | None:
        return self.links.get(name)

    def made_from(self, name: str, source: Source) -> str | None:
        sha256 = self.links.get(name)
        return sha256 if sha256 and self.origins.get(sha256) == str(source) else None

    def made_program(self, name: str) -> bool:
        return name in self.links and self.links[name] not in self.by_hand

    @writing
    def remove_program(self, name: str) -> None:
        self.half_remove_program(name)
        self.links.pop(name, None)

    def half_remove_program(self, name: str) -> None:
        self.staged.clear()
        self.previous.pop(name, None)

    @writing
    def stage(self, name: str, source: Source, sha256: str) -> None:
        if self._source(source)[0] != sha256:
            raise LakeError("stage", name, "it has another SHA-256")
        self.staged[sha256] = self.sources[str(source)][2]
        if source.go or source.image:
            self.origins[sha256] = str(source)

    def _staged(self, name: str, sha256: str) -> str:
        if sha256 not in self.staged:
            raise LakeError("use", f"the program {name}", f"{sha256} was never staged")
        return self.staged[sha256]

    def try_out(self, name: str, sha256: str) -> str:
        return self._staged(name, sha256)

    @writing
    def discard(self, name: str, sha256: str) -> None:
        if self.links.get(name) != sha256:
            self.staged.pop(sha256, None)

    @writing
    def switch(self, name: str, sha256: str) -> None:
        self._staged(name, sha256)
        if (before := self.links.get(name)) in self.by_hand:
            self.staged[before] = self.by_hand.pop(before)
        if before and before != sha256:
            self.previous[name] = before
        if before != sha256 and name in self.services and self.services[name].serving:
            self.services[name] = replace(self.services[name], current=False)
        self.links[name] = sha256

    # Notes

    def note(self, name: str) -> str | None:
        return self.notes.get(name)

    @writing
    def write_note(self, name: str, text: str) -> None:
        self.notes[name] = text

    @writing
    def remove_note(self, name: str) -> None:
        self.notes.pop(name, None)

    # Services

    def secret(self, ref: SecretRef) -> Secret:
        def connections(conn_id: str) -> Connection:
            if conn_id != "minio_admin":
                raise LakeError("find", f"the connection {conn_id!r}", "it is not configured")
            user, _, password = self.credentials.reveal().partition(":")
            return Connection(conn_id, "minio", login=user, password=Secret(password))

        return secret_of(connections, ref)

    def service(self, name: str, port: int) -> ServiceState | None:
        s = self.services.get(name)
        return s and replace(s, current=s.current and not (s.serving and name in self.outdated | self.unread))

    def daemon_reload(self) -> None:
        """Somebody lets systemd read its units anew: nothing is started by that."""
        self.unread.clear()

    def _service(self, name: str) -> ServiceState:
        return self.services.get(name) or ServiceState(None, None, Secret(":"), enabled=False, current=True, serving=False)

    @writing
    def write_unit(self, name: str, text: str) -> None:
        s = self._service(name)
        self.services[name] = replace(s, unit=text)
        self.outdated.add(name)
        self.unread.add(name)

    @writing
    def write_environment(self, name: str, group: str, lines: tuple[str, ...], credentials: Secret) -> None:
        if group not in self.accounts:
            raise LakeError("write", f"the settings of {name}", f"there is no group {group}")
        s = self._service(name)
        same = (s.environment, s.credentials) == (lines, credentials)
        self.services[name] = replace(s, environment=lines, credentials=credentials, closed=True, current=not s.serving or (s.current and same))

    def kept_credentials(self, name: str) -> Secret | None:
        return self.kept[name].credentials if name in self.kept else None

    @writing
    def keep_settings(self, name: str) -> None:
        self.kept[name] = self._settings(name)

    def _settings(self, name: str) -> ServiceState:
        if self._service(name).environment is None:
            raise LakeError("read", f"the settings of {name}", "there are none")
        return self.services[name]

    @writing
    def write_credentials(self, name: str, credentials: Secret) -> None:
        s = self._settings(name)
        self.services[name] = replace(s, credentials=credentials, current=not s.serving or self.running.get(name, s.credentials) == credentials)

    @writing
    def restore_settings(self, name: str) -> None:
        if name in self.kept:
            s, kept = self._settings(name), self.kept.pop(name)
            back = self.running.get(name, s.credentials) == kept.credentials and s.environment == kept.environment
            self.services[name] = replace(s, environment=kept.environment, credentials=kept.credentials, current=not s.serving or back)

    @writing
    def forget_settings(self, name: str) -> None:
        self.kept.pop(name, None)

    def _unit(self, name: str) -> ServiceState:
        if not self._service(name).unit:
            raise LakeError("use", f"the service {name}", "it has no unit")
        return self.services[name]

    @writing
    def enable(self, name: str) -> None:
        self.services[name] = replace(self._unit(name), enabled=True)

    @writing
    def restart(self, name: str) -> None:
        self.services[name] = replace(self._unit(name), current=True, serving=self._hindrance(name) is None)
        self.running[name], self.under[name] = self.services[name].credentials, self.services[name].unit
        self.outdated.discard(name)
        self.unread.discard(name)
        user = re.search(r"^User=(.+)$", self.services[name].unit or "", re.MULTILINE)
        for where in self.mounts if user and self.services[name].serving else ():
            self.content.setdefault(where, user[1])  # MinIO makes its files there

    def _hindrance(self, name: str) -> str | None:
        """What keeps the service from running."""
        mounts = re.findall(r"^ConditionPathIsMountPoint=(.+)$", self._service(name).unit or "", re.MULTILINE)
        if any(m not in self.mounts for m in mounts):
            return "its data directory is not a mount point"
        broken = "FATAL: it does not start" if self.links.get(name) in self.broken else self.looping
        journal = broken if name in self.links else f"/usr/local/bin/{name}: No such file"
        return f"it restarts in a loop. Its journal ends with:\n{journal}" if journal is not None else None

    @writing
    def remove_service(self, name: str) -> None:
        self.services.pop(name, None)
        self.kept.pop(name, None)

    def half_remove_service(self, name: str) -> None:
        if name in self.services:  # stopped, its settings gone
            self.services[name] = replace(
                self.services[name], environment=None, credentials=Secret(":"), enabled=False, serving=False, current=True, closed=True
            )

    def wait_serving(self, name: str, port: int) -> None:
        if not self._service(name).serving:
            raise LakeError("start", f"the service {name}", self._hindrance(name) or "it was not started")
