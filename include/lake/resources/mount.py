"""Where the filesystem is mounted, now and after every boot (requirement A3)."""

from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from include.lake.errors import Refused
from include.lake.resource import Plan, Resource

# nofail: the VM boots without the disk. The time-out: it does not wait 90 s for it either.
OPTIONS = "defaults,noatime,nofail,x-systemd.device-timeout=30s"


@dataclass(frozen=True)
class MountState:
    """A mount: its line in /etc/fstab, whether that filesystem is mounted, and whether the bare directory is immutable."""

    uuid: str
    fstype: str
    options: str = OPTIONS
    mounted: bool = True
    protected: bool = True


@dataclass(frozen=True)
class MountFacts:
    """What the guest has at a mount point. `entry` is its fstab line: UUID (or device), type, options; `leads_to` the UUID found there."""

    entry: tuple[str, str, str] | None
    mounted_uuid: str | None
    protected: bool
    bare_files: int  # files in the directory below the mount
    leads_to: str | None = field(default=None, compare=False)


class MountClient(Protocol):
    """What a mount needs of the guest."""

    def mount_facts(self, target: str) -> MountFacts:
        """What is at a mount point; an absent directory counts as an empty one."""

    def protect(self, target: str) -> None:
        """Make the directory below the mount, and make it immutable, so that nothing is ever written into it."""

    def write_fstab(self, target: str, uuid: str, fstype: str, options: str) -> None:
        """Set the mount point's line in /etc/fstab; every other line stays byte for byte."""

    def mount(self, target: str) -> None:
        """Mount it."""

    def unmount(self, target: str) -> None:
        """Unmount it; what is not mounted is no error."""

    def remove_directory(self, target: str) -> None:
        """Remove the empty directory below the mount, immutable or not; none is no error. One that is not empty stays."""

    def remove_entry(self, target: str) -> None:
        """Remove the mount point's line from /etc/fstab; every other line stays byte for byte."""


@dataclass(frozen=True)
class Mount(Resource[MountState, MountClient]):
    """A mount by UUID. A line that leads to the same filesystem by another name is rewritten; what someone else mounted or stored there is refused."""

    part: ClassVar[str] = "host"
    target: str
    filesystem: str
    desired: MountState | None
    uuid: str = ""  # of the lake's filesystem: what else is mounted there is not Homelake's

    @property
    def id(self) -> str:
        """`mount/mnt/minio_data`."""
        return f"mount{self.target}"

    @property
    def needs(self) -> tuple[str, ...]:
        """The filesystem."""
        return (self.filesystem,)

    def observe(self, client: MountClient) -> MountState | None:
        """What is at the mount point."""
        facts = client.mount_facts(self.target)
        wanted = self.desired
        for found, where in ((facts.entry and (facts.leads_to or facts.entry[0]), "/etc/fstab names"), (facts.mounted_uuid, "mounted there is")):
            if found and wanted and found != wanted.uuid:
                raise Refused("mount", self.id, f"{where} another filesystem ({found})", "Declare another mount_point, or take that one away yourself")
        if facts.bare_files:
            raise Refused("mount", self.id, f"the directory {self.target} below the mount holds {facts.bare_files} entries, which the mount would hide",
                          "Move them away, or declare another mount_point")  # fmt: skip
        if facts.entry is None and facts.mounted_uuid is None:
            return None
        uuid, fstype, options = facts.entry or ("" if wanted else facts.mounted_uuid or "", "", "")
        return MountState(uuid, fstype, options, facts.mounted_uuid is not None, facts.protected)

    def usable(self, observed: MountState) -> bool:
        """A mount is of use once it is mounted."""
        return observed.mounted

    def foreign(self, observed: MountState, client: MountClient) -> str | None:
        """The mount of another filesystem."""
        return None if observed.uuid == self.uuid else f"another filesystem ({observed.uuid}) is mounted there"

    def apply(self, todo: Plan, client: MountClient) -> None:
        """Protect the bare directory, write the line, mount."""
        if self.desired is None:
            client.unmount(self.target)
            client.remove_directory(self.target)
            client.remove_entry(self.target)  # last: by it a removal that was killed is known
            return
        fields = todo.fields()
        if "protected" in fields:
            client.protect(self.target)
        if fields & {"uuid", "fstype", "options"}:
            client.write_fstab(self.target, self.desired.uuid, self.desired.fstype, self.desired.options)
        if "mounted" in fields:
            client.mount(self.target)
