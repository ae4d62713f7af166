"""Notes in the guest of what is under way there, so that a run that was killed is finished by the next, from whatever machine."""

from include.adapters.host.files import Files

_READ = '[ -e "/var/lib/homelake/$1" ] || exit 4; cat "/var/lib/homelake/$1"'
# Written beside its place and renamed: a note is there as a whole, or not at all, after a power cut as well.
_WRITE = r"""
set -e; umask 077; mkdir -p /var/lib/homelake; printf %s "$content" >"/var/lib/homelake/.$1.new"
sync "/var/lib/homelake/.$1.new"; mv "/var/lib/homelake/.$1.new" "/var/lib/homelake/$1"; sync -f /var/lib/homelake
"""
_REMOVE = 'rm -f "/var/lib/homelake/$1"; rmdir /var/lib/homelake 2>/dev/null; true'


class Notes(Files):
    """Notes by name: short texts without secrets, readable by root only."""

    def note(self, name: str) -> str | None:
        """The note; None when there is none."""
        result = self.run(_READ, name, ok=(0, 4))
        return None if result.code == 4 else result.out

    def write_note(self, name: str, text: str) -> None:
        """Write it, in one step."""
        self.write(_WRITE, name, content=text.encode())

    def remove_note(self, name: str) -> None:
        """Remove it; none is no error."""
        self.run(_REMOVE, name)
