"""Files that are sent to the guest: they are written when they have arrived as a whole, and not at all else."""

from include.adapters.host.ssh import Guest

# Where a connection breaks, or somebody presses Ctrl-C, the input of a command in the VM ends as if that were all. So the length of what is sent goes
# before it, and nothing is begun before all of it is there. It is text: bash leaves NULs out, and what had some is too short.
_WHOLE = """IFS= read -r -N "$1" content || { echo "only a part of what was to be written has arrived" >&2; exit 1; }; shift
"""


class Files(Guest):
    """A guest whose files are written whole."""

    def write(self, script: str, *args: str, content: bytes) -> None:
        """Run `script`, which has all of `content` in its variable `content`. A secret in it is seen by no other process. Raises as `run`."""
        self.run(_WHOLE + script, str(len(content)), *args, stdin=content)
