"""The writers' lock: one writer works on a lake at a time."""

from collections.abc import Callable
from contextlib import suppress
from uuid import uuid4

import paramiko

from include.adapters.host.shell import Result
from include.lake.errors import LakeError, Unreachable

TIMEOUT = 60  # seconds
TAKEN = 75  # the exit code that means another writer, and nothing else does
# The process that holds it is `cat` in the VM, until its connection ends. Where that broke unseen, sshd there lets it live on for minutes: whoever
# knows its token ends it.
_TAKE = f"""
mkdir -p /run/homelake && cd /run/homelake && exec 9>>lock || exit 1
own() {{ read -r token pid <holder && [ "$token" = "$1" ] && kill "$pid"; }} 2>/dev/null
flock -n 9; case $? in 0) ;; 1) {{ own "$2" && flock -w 30 9; }} || {{ cat writer; exit {TAKEN}; }};; *) exit 1; esac
echo "$1" >writer; echo "$2 $$" >holder; echo ok; exec cat
"""


class WritersLock:
    """The lock in the VM for `who`. It can be taken again on another connection after the one that held it broke."""

    def __init__(self, who: str) -> None:
        self._who, self._token = who, uuid4().hex
        self._channel: paramiko.Channel | None = None

    def take(self, transport: paramiko.Transport, command: Callable[[str, tuple[str, ...]], str], failed: Callable[[Result], LakeError]) -> None:
        """Take it on a connection; `command` makes a command line of a script and its arguments, `failed` an error of what else kept it from that.

        Raises Unreachable while another writer has it.
        """
        channel = transport.open_session(timeout=TIMEOUT)
        channel.settimeout(TIMEOUT)
        channel.exec_command(command(_TAKE, (self._who, self._token)))
        said = channel.makefile("r").readline().strip()
        if said == "ok":
            self._channel = channel
            return
        with channel:
            err = channel.makefile_stderr("rb").read()
            result = Result(channel.recv_exit_status(), said, err.decode(errors="replace"))
        if result.code != TAKEN:
            raise failed(result)
        raise Unreachable("the lake alone", f"another writer works on it ({said or 'unknown'})", "Wait for it, and run again")

    def release(self) -> None:
        """Let it go, and see that it is free; it goes with its connection as well."""
        if self._channel:
            with suppress(paramiko.SSHException, OSError, EOFError):
                self._channel.shutdown_write()
                self._channel.recv(1)
            self._channel.close()
