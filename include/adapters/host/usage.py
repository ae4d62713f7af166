"""How full the data's filesystem is, and what MinIO keeps of uploads that nobody completed."""

from datetime import UTC, datetime

from include.adapters.host.facts import pairs
from include.adapters.host.ssh import Guest
from include.lake.errors import LakeError
from include.lake.usage import Volume

# MinIO keeps an upload's parts in multipart/HASH/IDxNANOSECONDS, whose last number is when it began. No call of its lists them all.
_VOLUME = r"""
mountpoint -q "$1" || exit 3
stat -f -c 'unit=%S
blocks=%b
free=%f
available=%a
inodes=%c
inodes_free=%d' "$1"
shopt -s nullglob
staging=$1/.minio.sys/multipart
set -- "$staging"/*/*/
echo "uploads=$#"
[ $# = 0 ] || { printf '%s\n' "$@" | sed -n 's:.*x\([0-9]*\)/$:began=\1:p' | sort -t= -k2n | head -n1; echo "uploads_size=$(du -s -B1 "$staging" | cut -f1)"; }
"""


class Volumes(Guest):
    """Filesystems, and how full they are."""

    def volume(self, mount_point: str) -> Volume:
        """The filesystem mounted there. Raises LakeError when none is: the bare directory would be the VM's own disk."""
        result = self.run(_VOLUME, mount_point, ok=(0, 3))
        if result.code == 3:
            raise LakeError("measure", f"the volume at {mount_point}", "it is not mounted", "Run ./lake plan: it shows what is missing")
        return parse_volume(result.out)


def parse_volume(text: str) -> Volume:
    """From stat -f, ls and du."""
    facts = pairs(text)
    unit, blocks, free, available, inodes, inodes_free = (int(facts[k]) for k in ("unit", "blocks", "free", "available", "inodes", "inodes_free"))
    began = datetime.fromtimestamp(int(facts["began"]) / 1e9, UTC) if facts.get("began") else None
    return Volume((blocks - free) * unit, available * unit, inodes - inodes_free, inodes_free, int(facts["uploads"]), int(facts.get("uploads_size", 0)), began)
