"""The VM that carries the lake, its data disk, and the filesystem on it."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from include.lake.spec.types import Model, NodeName, Slot, Storage, Uuid, absolute
from include.lake.units import Size


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
        if self.size < 2**30 or self.size % 2**30:
            raise ValueError(f"size {self.size} is not a whole number of GiB, one or more, which Proxmox VE needs")
        return self


class Vm(Model):
    """The virtual machine that carries the lake. It exists already; Homelake adds the data disk to it."""

    node: NodeName = "pve"
    vmid: Annotated[int, Field(ge=100, le=999_999_999)]
    disk: Disk = Disk()


class Filesystem(Model):
    """The filesystem on the data disk and where it is mounted."""

    type: Literal["ext4"] = "ext4"
    uuid: Uuid | None = None  # adopts the filesystem that has it, made by hand; None: Homelake makes its own
    mount_point: Annotated[str, AfterValidator(absolute)] = "/mnt/minio_data"
