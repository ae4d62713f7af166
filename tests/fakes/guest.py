"""A VM in memory: one disk, one mount point, accounts, programs, one service."""

from dataclasses import replace

from include.lake.errors import LakeError, Refused, Unreachable
from include.lake.resources.account import AccountState
from include.lake.resources.binary import Source
from include.lake.resources.filesystem import MAKING, DeviceFacts, FilesystemState
from include.lake.resources.mount import MountFacts
from include.lake.resources.service import ServiceState
from include.lake.secret import Secret, SecretRef
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
        self.accounts: dict[str, AccountState] = {}
        self.sources: dict[str, tuple[str, bytes, str]] = {}  # source → sha256, head, what it says
        self.built: set[str] = set()
        self.staged: dict[str, str] = {}  # sha256 → what it says
        self.links: dict[str, str] = {}
        self.services: dict[str, ServiceState] = {}
        self.looping: str | None = None
        self.credentials = Secret("root:password")

    # Disk, filesystem, mount

    def device(self, slot: str) -> DeviceFacts:
        if slot not in self.disks:
            raise Unreachable(f"the disk of {slot}", "it is not there")
        return DeviceFacts(f"/dev/{slot}", *self.disks[slot])

    @writing
    def make_filesystem(self, path: str, state: FilesystemState, *, again: bool) -> None:
        self.half_make_filesystem(path, state, again=again)
        self._set(path, replace(state, fills_device=True))

    def half_make_filesystem(self, path: str, state: FilesystemState, *, again: bool) -> None:
        signatures, found = self.disks[path[5:]]
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
        state = self.disks[path[5:]][1]
        assert state
        self._set(path, replace(state, fills_device=True))

    def mount_facts(self, target: str) -> MountFacts:
        return MountFacts(self.fstab.get(target), self.mounts.get(target), target in self.protected, self.bare.get(target, 0))

    @writing
    def protect(self, target: str) -> None:
        self.protected.add(target)

    @writing
    def write_fstab(self, target: str, uuid: str, fstype: str, options: str) -> None:
        self.fstab[target] = (uuid, fstype, options)

    @writing
    def mount(self, target: str) -> None:
        self.mounts[target] = self.fstab[target][0]

    # Accounts

    def account(self, name: str, data_dir: str) -> AccountState | None:
        return self.accounts.get(name)

    @writing
    def add_account(self, name: str) -> None:
        assert name not in self.accounts
        self.accounts[name] = AccountState(system=True, login=False, owns_data=False)

    @writing
    def close_login(self, name: str) -> None:
        self.accounts[name] = replace(self.accounts[name], login=False)

    @writing
    def give_data(self, name: str, data_dir: str) -> None:
        self.accounts[name] = replace(self.accounts[name], owns_data=True)

    # Programs

    def digest(self, source: Source, machine: str) -> str | None:
        sha256 = self.sources[str(source)][0]
        return sha256 if sha256 in self.built or source.file else None

    def fetch(self, source: Source, machine: str) -> tuple[str, bytes]:
        sha256, head, _ = self.sources[str(source)]
        self.built.add(sha256)
        return sha256, head

    def machine(self) -> str:
        return "x86_64"

    def installed(self, name: str) -> str | None:
        return self.links.get(name)

    @writing
    def stage(self, name: str, source: Source, sha256: str) -> None:
        self.staged[sha256] = self.sources[str(source)][2]

    def try_out(self, name: str, sha256: str) -> str:
        return self.staged[sha256]

    @writing
    def discard(self, name: str, sha256: str) -> None:
        if self.links.get(name) != sha256:
            self.staged.pop(sha256, None)

    @writing
    def switch(self, name: str, sha256: str) -> None:
        assert sha256 in self.staged, "what was never staged cannot be put in place"
        if name in self.services and self.services[name].serving:
            self.services[name] = replace(self.services[name], current=False)
        self.links[name] = sha256

    # Services

    def secret(self, ref: SecretRef) -> Secret:
        return self.credentials

    def service(self, name: str, port: int) -> ServiceState | None:
        return self.services.get(name)

    def _service(self, name: str) -> ServiceState:
        return self.services.get(name) or ServiceState(None, (), Secret(":"), enabled=False, current=True, serving=False)

    @writing
    def write_unit(self, name: str, text: str) -> None:
        s = self._service(name)
        self.services[name] = replace(s, unit=text, current=not s.serving)

    @writing
    def write_environment(self, name: str, group: str, lines: tuple[str, ...], credentials: Secret) -> None:
        s = self._service(name)
        self.services[name] = replace(s, environment=lines, credentials=credentials, current=not s.serving)

    @writing
    def enable(self, name: str) -> None:
        self.services[name] = replace(self.services[name], enabled=True)

    @writing
    def restart(self, name: str) -> None:
        self.services[name] = replace(self.services[name], current=True, serving=self.looping is None)

    def wait_serving(self, name: str, port: int) -> None:
        if self.looping is not None:
            raise LakeError("start", f"the service {name}", f"it restarts in a loop. Its journal ends with:\n{self.looping}")
