"""Programs in the guest, kept by their content: `/usr/local/lib/NAME/SHA256/NAME`, and a link in `/usr/local/bin`."""

from collections.abc import Callable
from functools import cached_property

from include.adapters.binaries import Binaries, said_of
from include.adapters.host.ssh import Guest
from include.connections import Connection
from include.lake.resources.binary import Source

_INSTALLED = r"""
target=$(readlink -f "/usr/local/bin/$1"); [ -e "$target" ] || exit 0
case $target in
  /usr/local/lib/$1/*/$1) basename "$(dirname "$target")";;
  *) sha256sum "$target" | cut -c1-64;;
esac
"""
# What the program in place was made from is noted beside it: where the build is not kept, it is known by that.
_MADE_FROM = r"""
target=$(readlink -f "/usr/local/bin/$1"); dir=$(dirname "$target")
case $target in /usr/local/lib/$1/*/$1) [ "$(cat "$dir/source" 2>/dev/null)" != "$2" ] || basename "$dir";; esac
"""
# The account must be able to run it, whatever umask the guest has.
_OPEN = 'open() { mkdir -p "$@" && chmod 0755 "$@"; }; umask 022\n'
_IS_STAGED = (
    _OPEN
    + r"""
dir=/usr/local/lib/$1/$2; [ -x "$dir/$1" ] || exit 0
open "/usr/local/lib/$1" "$dir" || exit; [ -z "$3" ] || printf '%s\n' "$3" >"$dir/source"; echo yes
"""
)
# Unpacked beside its place, checked, then renamed: what has the name of a digest has that digest.
_STAGE = (
    _OPEN
    + r"""
set -e; dir=/usr/local/lib/$1/$2; open "/usr/local/lib/$1" "$dir"; new=$dir/.$1.new; trap 'rm -f "$new"' EXIT
[ -z "$3" ] || printf '%s\n' "$3" >"$dir/source"
gzip -dc >"$new"; chmod 0755 "$new"; echo "$2  $new" | sha256sum --quiet -c -; sync "$new"; mv "$new" "$dir/$1"
"""
)
_STAGED = '[ -x "/usr/local/lib/$1/$2/$1" ] || { echo "the program $2 was never staged" >&2; exit 1; }\n'
_TRY = _STAGED + 'cd /; timeout 60 setpriv --reuid=65534 --regid=65534 --clear-groups "/usr/local/lib/$1/$2/$1" --version 2>&1; true'
_SWITCH = (
    _STAGED
    + _OPEN
    + r"""
set -e; now=/usr/local/bin/$1; old=$(readlink -f "$now"); new=/usr/local/lib/$1/$2/$1
if [ -e "$old" ] && [ "$old" != "$new" ]; then
  case $old in
    /usr/local/lib/$1/*/$1) ;;
    *) kept=/usr/local/lib/$1/$(sha256sum "$old" | cut -c1-64)  # put there by hand: kept by its content, as any other
       open "/usr/local/lib/$1" "$kept"; cp -p "$old" "$kept/.$1.new"; sync "$kept/.$1.new"; mv "$kept/.$1.new" "$kept/$1"; old=$kept/$1;;
  esac
  ln -sfn "$old" "/usr/local/lib/$1/previous.new"; mv -T "/usr/local/lib/$1/previous.new" "/usr/local/lib/$1/previous"
fi
ln -sfn "$new" "$now.homelake"; sync -f "$now.homelake"; mv -T "$now.homelake" "$now"
"""
)

_MADE = 'case $(readlink -f "/usr/local/bin/$1") in /usr/local/lib/$1/*/$1) echo yes;; esac'


class Programs(Guest):
    """Programs: where they come from (the bastion) and where they go (the guest)."""

    def __init__(self, connection: Connection, say: Callable[[str], None]) -> None:
        super().__init__(connection)
        self._binaries, self._say = Binaries(say), say

    def digest(self, source: Source, machine: str) -> str | None:
        """The SHA-256 of what a source gives; None when it must be built or fetched first."""
        return self._binaries.digest(source, machine)

    def ready(self, source: Source) -> str:
        """With what it is built or fetched on the bastion."""
        return self._binaries.ready(source)

    def fetch(self, source: Source, machine: str) -> tuple[str, bytes]:
        """Build or fetch it."""
        path, sha256 = self._binaries.fetch(source, machine)
        with open(path, "rb") as file:
            return sha256, file.read(64)

    def machine(self) -> str:
        """The guest's machine."""
        return self._machine

    @cached_property
    def _machine(self) -> str:
        return self.run("uname -m").out.strip()

    def installed(self, name: str) -> str | None:
        """The SHA-256 of the program in place."""
        return self.run(_INSTALLED, name).out.strip() or None

    def made_from(self, name: str, source: Source) -> str | None:
        """The SHA-256 of the program in place, when it was made from that very source."""
        said = said_of(source, self.machine())
        return (self.run(_MADE_FROM, name, said).out.strip() or None) if said else None

    def made_program(self, name: str) -> bool:
        """Whether what is in place is kept as Homelake keeps programs."""
        return bool(self.run(_MADE, name).out)

    def remove_program(self, name: str) -> None:
        """Remove the link and all programs kept; the link last, by which they are known."""
        self.run('rm -rf "/usr/local/lib/$1" && rm -f "/usr/local/bin/$1.homelake" "/usr/local/bin/$1"', name)

    def stage(self, name: str, source: Source, sha256: str) -> None:
        """Send it, unless it is there already."""
        said = said_of(source, self.machine())
        if self.run(_IS_STAGED, name, sha256, said).out:
            return
        path, _ = self._binaries.fetch(source, self.machine())
        self._say(f"sending {name} ({path.stat().st_size / 2**20:.0f} MiB) to the VM")
        self.send(path, _STAGE, name, sha256, said)

    def try_out(self, name: str, sha256: str) -> str:
        """What it says of itself, run as nobody."""
        return self.run(_TRY, name, sha256).out

    def discard(self, name: str, sha256: str) -> None:
        """Remove a staged program that is not in place."""
        self.run('[ "$(readlink -f "/usr/local/bin/$1")" = "/usr/local/lib/$1/$2/$1" ] || rm -rf "/usr/local/lib/$1/$2"', name, sha256)

    def switch(self, name: str, sha256: str) -> None:
        """Put it in place in one step; `/usr/local/lib/NAME/previous` leads to the one before."""
        self.run(_SWITCH, name, sha256)
