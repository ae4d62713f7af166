"""`./lake doctor` on this machine: what MinIO's program is built or fetched with."""

from collections.abc import Iterator

from include.adapters.clients import Clients
from include.doctor_kafka import Step
from include.lake.errors import LakeError
from include.lake.lake import Lake
from include.lake.site import Finding


def program(lake: Lake, clients: Clients) -> Iterator[Step]:
    """What MinIO's program is made with on this machine, unless it is known already."""

    def source() -> Iterator[Finding]:
        binary, host = lake.minio_binary, clients.host
        what = f"minio.binary: {binary.source}"
        try:
            reached = bool(host.machine())
        except LakeError:  # told of lake_host
            reached = False
        known = reached and binary.known(host)
        yield Finding(f"{what} (it is made)" if known and not binary.source.url else f"{what} (with {host.ready(binary.source)})")

    yield "bastion/minio.binary", source
