"""One shell in the VM that runs what it is sent: sudo is asked once for all of it. It takes more than most of the commands do."""

import re
import secrets
import shlex
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import paramiko

SIGNALS = 128  # a shell tells a signal as an exit code above it
# A request is the words of a command, quoted for a shell, up to a NUL. What a command printed ends with its mark and its exit code, on both ways out.
LOOP = r"""
while IFS= read -r -d '' request; do
  eval "set -- $request"; mark=$1; shift
  bash -c "$@" </dev/null; code=$?
  printf '\n%s %d\n' "$mark" $code; printf '\n%s %d\n' "$mark" $code >&2
done
"""


@dataclass(frozen=True)
class Result:
    """What a command gave: its exit code (below 0: there was none, since what should run it has ended) and what it printed."""

    code: int
    out: str
    err: str


class Shell:
    """The shell at the other end of a channel. `alive`: the last command's answer was read to its end, so that there can be another."""

    def __init__(self, channel: paramiko.Channel, command: str) -> None:
        self._channel, self.alive = channel, False
        channel.exec_command(command)

    def run(self, script: str, args: tuple[str, ...], timeout: float) -> Result:
        """Run `script` with bash; `$1`, `$2` … are `args`. Raises OSError and paramiko's errors when the connection breaks.

        Where the shell itself has ended, or never began, as when sudo refuses, it is that which is told.
        """
        self.alive = False
        mark = secrets.token_hex(16)
        self._channel.settimeout(timeout)
        with suppress(OSError):  # it has ended already: it has said why
            self._channel.sendall(shlex.join([mark, script, "homelake", *args]).encode() + b"\0")
        end = re.compile(rb"\n%s (\d+)\n" % mark.encode())
        out, code = _read(self._channel.recv, end)
        err, told = _read(self._channel.recv_stderr, end)
        self.alive = code is not None and code == told
        if code is None:
            code = self._channel.recv_exit_status() or -1
            code = -code if code > SIGNALS else code  # it is what ran the shell that tells the signal
        return Result(code, out.decode(errors="replace"), err.decode(errors="replace"))


def _read(receive: Callable[[int], bytes], end: re.Pattern[bytes]) -> tuple[bytes, int | None]:
    """What was printed up to the mark, and the exit code; None when there is no more and the mark has not come."""
    got = bytearray()
    while block := receive(1 << 16):
        known = len(got)
        got += block
        if found := end.search(got, max(0, known - 64)):
            return bytes(got[: found.start()]), int(found[1])
    return bytes(got), None
