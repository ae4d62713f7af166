"""MinIO's program in the VM (requirements B1, B2)."""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from include.lake.elf import machine_of
from include.lake.errors import Refused
from include.lake.resource import LATER, Plan, Resource


@dataclass(frozen=True)
class Source:
    """Where the program comes from: exactly one of a Go module, a file, a URL with its SHA-256, an image."""

    go: str | None = None
    file: str | None = None
    url: str | None = None
    sha256: str | None = None
    image: str | None = None

    def __str__(self) -> str:
        return self.go or self.file or self.url or self.image or "(none)"


@dataclass(frozen=True)
class BinaryState:
    """The SHA-256 of the program in place."""

    sha256: Any  # str, or LATER while it has not been built


class BinaryClient(Protocol):
    """What a program needs: its source on the bastion, and the guest."""

    def digest(self, source: Source, machine: str) -> str | None:
        """The SHA-256 of the program a source gives for a machine; None when it must be built or fetched first."""

    def ready(self, source: Source) -> str:
        """With what a source's program is built or fetched. Raises LakeError when that is not on the bastion."""

    def fetch(self, source: Source, machine: str) -> tuple[str, bytes]:
        """Build or fetch it. Returns its SHA-256 and its first 64 bytes."""

    def machine(self) -> str:
        """The guest's machine, as uname -m says."""

    def installed(self, name: str) -> str | None:
        """The SHA-256 of the program in place; None when there is none."""

    def made_from(self, name: str, source: Source) -> str | None:
        """The SHA-256 of the program in place, when it is noted there that it was made from that very source; None when that is not known."""

    def stage(self, name: str, source: Source, sha256: str) -> None:
        """Bring it to the guest, beside the one in place, check its SHA-256 there, and note its source with it."""

    def try_out(self, name: str, sha256: str) -> str:
        """What the staged program says of its version and licence."""

    def discard(self, name: str, sha256: str) -> None:
        """Remove a staged program."""

    def switch(self, name: str, sha256: str) -> None:
        """Put the staged program in place, in one step; the one before is kept by its content, and can be put back in the same way."""

    def made_program(self, name: str) -> bool:
        """Whether Homelake put the program in place there."""

    def remove_program(self, name: str) -> None:
        """Remove the program in place, and all that are kept beside it."""


@dataclass(frozen=True)
class Binary(Resource[BinaryState, BinaryClient]):
    """A program, by its content. Before it replaces another it is checked: its machine, its edition."""

    part: ClassVar[str] = "host"
    name: str
    source: Source
    desired: BinaryState | None

    @property
    def id(self) -> str:
        """`binary/minio`."""
        return f"binary/{self.name}"

    def want(self, client: BinaryClient) -> BinaryState | None:
        """The SHA-256 the source gives."""
        return self.desired and BinaryState(self.known(client) or LATER)

    def observe(self, client: BinaryClient) -> BinaryState | None:
        """The program in place."""
        sha256 = client.installed(self.name)
        return BinaryState(sha256) if sha256 else None

    def known(self, client: BinaryClient) -> str | None:
        """The SHA-256 the source gives, None when that shows only once it is built or fetched.

        Where its build is not kept, as on another machine, the program in place tells whether it was made from it.
        """
        return client.digest(self.source, client.machine()) or client.made_from(self.name, self.source)

    def makeable(self, todo: Plan, client: BinaryClient) -> None:
        """Raise LakeError when a plan has to build or fetch the program, and what that takes is not on the bastion. Nothing is built or fetched."""
        if any(c.after is LATER for c in todo.changes):
            client.ready(self.source)

    def foreign(self, observed: BinaryState, client: BinaryClient) -> str | None:
        """A program put there by hand."""
        return None if client.made_program(self.name) else "the program was put there by hand"

    def apply(self, todo: Plan, client: BinaryClient) -> None:
        """Prepare it, and put it in place."""
        if self.desired is None:
            client.remove_program(self.name)
            return
        sha256 = self.prepare(client)
        if client.installed(self.name) != sha256:
            client.switch(self.name, sha256)

    def prepare(self, client: BinaryClient) -> str:
        """Fetch it, check its machine, stage it beside the one in place, check its edition. Returns its SHA-256."""
        machine = client.machine()
        sha256, head = client.fetch(self.source, machine)
        self.check_machine(machine_of(head), machine)
        if client.installed(self.name) != sha256:
            client.stage(self.name, self.source, sha256)
            self.check_edition(client.try_out(self.name, sha256), client, sha256)
        return sha256

    def check_machine(self, found: str | None, machine: str) -> None:
        """Raise Refused unless a program for `found` runs on `machine`."""
        if found is None:
            raise Refused("install", self.id, f"{self.source} is not a Linux program (no ELF header)", "Give the MinIO server's program itself")
        if found != machine:
            raise Refused("install", self.id, f"{self.source} is built for {found} and the VM is {machine}; it would fail with 'Exec format error'",
                          f"Take the {machine} one (a container image: --platform {_PLATFORM.get(machine, 'linux/' + machine)})")  # fmt: skip

    def check_edition(self, said: str, client: BinaryClient, sha256: str) -> None:
        """Raise Refused unless the program calls itself the Community Edition."""
        cause = edition_problem(said)
        if cause:
            client.discard(self.name, sha256)
            raise Refused(
                "install", self.id, f"{self.source} {cause}", "Take the Community Edition (AGPLv3): minio.binary in lake.yaml, see docs/how-to/minio-binary.md"
            )


_PLATFORM = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}


def edition_problem(said: str) -> str | None:
    """Why what a program says of itself rules it out, or None. The Community Edition names the AGPLv3 in --version."""
    text = said.lower()
    if "aistor" in text or "enterprise" in text or "license key" in text or "valid license" in text:
        return "is the Enterprise (AIStor) edition: without a licence key it restarts for ever"
    if "minio version" not in text:
        return f"does not call itself MinIO (it says: {said.strip()[:80] or 'nothing'})"
    if "agplv3" not in text and "affero" not in text:
        return "does not say that it is under the AGPLv3"
    return None
