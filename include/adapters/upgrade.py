"""An upgrade on a lake's real parts."""

from collections.abc import Callable
from datetime import UTC, datetime

from include.adapters.clients import Clients
from include.adapters.proof import login
from include.lake.lake import Lake
from include.lake.upgrade import Upgrade


def upgrade_of(lake: Lake, parts: Clients, say: Callable[[str], None]) -> Upgrade:
    """The upgrade of a lake's MinIO."""
    return Upgrade(lake.minio_binary, lake.minio_service, parts.host, lambda: login(lake, parts), say)


def snapshot_name() -> str:
    """A name for a snapshot that is taken now: `homelake-20260102-030405`, in UTC."""
    return f"homelake-{datetime.now(UTC):%Y%m%d-%H%M%S}"


def take_snapshot(lake: Lake, parts: Clients, name: str, say: Callable[[str], None]) -> None:
    """Take a snapshot of the lake's VM. It is never deleted by Homelake."""
    say(f"taking the snapshot {name} of VM {lake.spec.vm.vmid}")
    parts.proxmox.take_snapshot(lake.spec.vm.node, lake.spec.vm.vmid, name, "Taken by Homelake before another MinIO")
