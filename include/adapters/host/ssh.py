"""Commands on the lake's VM: one SSH connection that is kept open, every command as root."""

import gzip
import io
import shlex
import signal
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import paramiko

from include.adapters.host.lock import WritersLock
from include.adapters.host.shell import LOOP, SIGNALS, Result, Shell
from include.adapters.network import network_cause
from include.connections import Connection
from include.lake.errors import LakeError, Unreachable

CONNECT_TIMEOUT = 60  # seconds; a busy VM takes a while for the key exchange
COMMAND_TIMEOUT = 600
BROKEN = (paramiko.SSHException, OSError, EOFError, UnicodeError)  # the last: a host that is no name, as ".."
CHUNK = 1 << 20
# systemd reads all its units anew, which takes a small VM seconds: only where it does not know this one as it is on the disk.
RELOAD = """
known() { [ "$(systemctl show "$1" -p LoadState -p NeedDaemonReload --value | xargs)" = "loaded no" ] || systemctl daemon-reload; }
"""


class NotRoot(LakeError):
    """The log-in works, and sudo refuses it."""


class Guest:
    """The VM by SSH. `run` takes a shell script and its arguments; secrets go through `stdin`, never through arguments."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._client: paramiko.SSHClient | None = None
        self._shell: Shell | None = None
        self._lock: WritersLock | None = None  # held through every connection

    def run(self, script: str, *args: str, stdin: bytes = b"", ok: tuple[int, ...] = (0,), timeout: float = COMMAND_TIMEOUT) -> Result:
        """Run `script` with bash as root; `$1`, `$2` … are `args`. Raises LakeError when its exit code is not in `ok`, or a signal ended it.

        Where the connection broke meanwhile that is a failure of its own kind (`Unreachable`).
        """
        try:
            result = self._exchange(self._command(script, args), [stdin], timeout) if stdin else self._in_shell(script, args, timeout)
        except BROKEN as error:
            self.close()
            raise self._unreachable(error) from None
        return self._checked(result, ok)

    def send(self, source: Path, script: str, *args: str) -> None:
        """Run `script` with a file, gzip-compressed, as its input. Raises as `run`."""
        try:
            result = self._exchange(self._command(script, args), _compressed(source), COMMAND_TIMEOUT)
        except BROKEN as error:
            self.close()
            raise self._unreachable(error) from None
        self._checked(result, (0,))

    def _checked(self, result: Result, ok: tuple[int, ...]) -> Result:
        if result.code < 0:
            self.close()
        if result.code not in ok or not 0 <= result.code <= SIGNALS:
            raise self._failed(result)
        return result

    def _command(self, script: str, args: tuple[str, ...]) -> str:
        sudo = [] if self._connection.login == "root" else ["sudo", "-n"]
        return shlex.join([*sudo, "env", "LC_ALL=C", "bash", "-c", script, "homelake", *args])

    def _in_shell(self, script: str, args: tuple[str, ...], timeout: float) -> Result:
        shell, self._shell = self._shell, None  # whoever is interrupted before the end of an answer leaves none of it to the next
        if shell is None:
            shell = Shell(self._session(), self._command(LOOP, ()))
        result = shell.run(script, args, timeout)
        if shell.alive:
            self._shell = shell
        return result

    def _exchange(self, command: str, stdin: Iterable[bytes], timeout: float) -> Result:
        with self._session() as channel:
            channel.settimeout(timeout)
            channel.exec_command(command)
            broken = _feed(channel, stdin)
            out = channel.makefile("rb").read()
            err = channel.makefile_stderr("rb").read()
            code = channel.recv_exit_status()
            if broken and code < 0:
                raise broken
            return Result(code, out.decode(errors="replace"), err.decode(errors="replace"))

    def _session(self) -> paramiko.Channel:
        transport = self._open().get_transport()
        assert transport is not None
        return transport.open_session(timeout=CONNECT_TIMEOUT)

    def _open(self) -> paramiko.SSHClient:
        if self._client is None:
            c, client = self._connection, paramiko.SSHClient()
            client.set_missing_host_key_policy(paramiko.RejectPolicy())
            if known := c.option("host_key"):
                self._pin(client, known)
            else:
                client.load_system_host_keys()
            client.connect(c.host, port=c.port or 22, username=c.login, timeout=CONNECT_TIMEOUT, banner_timeout=CONNECT_TIMEOUT, auth_timeout=CONNECT_TIMEOUT,
                           pkey=(key := _private_key(c)), password=c.password.reveal() or None, allow_agent=key is None, look_for_keys=key is None)  # fmt: skip
            transport = client.get_transport()
            assert transport is not None
            transport.set_keepalive(15)
            try:
                if self._lock:
                    self._lock.take(transport, self._command, self._failed)
            except BaseException:
                client.close()
                raise
            self._client = client
        return self._client

    def _pin(self, client: paramiko.SSHClient, line: str) -> None:
        kind, blob = line.split()[-2:] if len(line.split()) >= 2 else ("ssh-ed25519", line)
        name = self._connection.host if (self._connection.port or 22) == 22 else f"[{self._connection.host}]:{self._connection.port}"
        try:
            entry = paramiko.hostkeys.HostKeyEntry.from_line(f"{name} {kind} {blob}")
        except (paramiko.SSHException, paramiko.hostkeys.InvalidHostKey, ValueError):
            entry = None
        if entry is None or entry.key is None:
            raise LakeError(
                "read", "the connection 'lake_host'", "its host_key is not a public key", "Put there what ssh-keyscan prints, as 'ssh-ed25519 AAAA…'"
            )
        client.get_host_keys().add(name, entry.key.get_name(), entry.key)

    def close(self) -> None:
        """End the connection; the next command opens another."""
        client, self._client, self._shell = self._client, None, None
        if client:
            client.close()

    @contextmanager
    def locked(self, who: str) -> Iterator[None]:
        """Keep other writers out: a lock in the VM, let go when the connection ends, however it ends.

        Where the connection breaks on the way, the next command takes the lock again before anything else, or fails.
        """
        lock = WritersLock(who)
        try:
            lock.take(self._open_or_raise(), self._command, self._failed)
        except BROKEN as error:
            self.close()
            raise self._unreachable(error) from None
        self._lock = lock
        try:
            yield
        finally:
            self._lock = None
            lock.release()

    def _open_or_raise(self) -> paramiko.Transport:
        try:
            transport = self._open().get_transport()
        except BROKEN as error:
            raise self._unreachable(error) from None
        assert transport is not None
        return transport

    def _unreachable(self, error: Exception) -> LakeError:
        c = self._connection
        where = f"{c.login}@{c.host}:{c.port or 22}"
        if isinstance(error, paramiko.BadHostKeyException):
            return LakeError("trust", f"the lake's VM ({where})", "its host key is not the one that the connection pins",
                             "If the VM was made anew, put its key (ssh-keyscan) into host_key of the connection 'lake_host'; else someone sits in between")  # fmt: skip
        if isinstance(error, paramiko.AuthenticationException):
            return LakeError(
                "log in to",
                f"the lake's VM ({where})",
                "it accepts none of the keys given",
                "Check key_file of the connection 'lake_host' and authorized_keys in the VM",
            )
        if "not found in known_hosts" in str(error):
            return LakeError(
                "trust", f"the lake's VM ({where})", "its host key is not known", "Put it (ssh-keyscan) into host_key of the connection 'lake_host'"
            )
        if isinstance(error, UnicodeError):
            return LakeError(
                "reach", f"the lake's VM ({where})", "that is no name of a host", "Correct host of the connection 'lake_host' (SSH_HOST in site.env)"
            )
        cause = "it does not answer in time" if isinstance(error, socket.timeout) else network_cause(error)
        return Unreachable(f"the lake's VM ({where})", cause, "Check that the VM runs, and the connection 'lake_host'")

    def _failed(self, result: Result) -> LakeError:
        if result.code < 0:
            return Unreachable("the lake's VM", f"the command ended without an exit code{': ' + result.err.strip() if result.err.strip() else ''}", "Run again")
        said = (result.err.strip() or result.out.strip()).splitlines()
        cause = said[-1] if said else f"exit code {result.code}"
        if result.code > SIGNALS:
            with suppress(ValueError):
                cause = f"{signal.Signals(result.code - SIGNALS).name} ended it"
        if "sudo:" in result.err:
            return NotRoot("act as root on", "the lake's VM", cause, f"Let {self._connection.login} use sudo without a password: /etc/sudoers.d/homelake")
        return LakeError("run a command on", "the lake's VM", f"{cause} (exit code {result.code})")


def _feed(channel: paramiko.Channel, stdin: Iterable[bytes]) -> OSError | None:
    """Send a command its input. Returns what was in the way: the command may have ended before, as on a full disk, and says why itself."""
    for block in stdin:
        try:
            channel.sendall(block)
        except TimeoutError:
            raise
        except OSError as error:
            return error
    channel.shutdown_write()
    return None


def _private_key(connection: Connection) -> paramiko.PKey | None:
    """The key in `extra.private_key`, else in the file that `extra.key_file` names. Read here: paramiko would tell a refused key as an unreadable one."""
    text, file = connection.option("private_key"), connection.option("key_file")
    if not text and not file:
        return None
    try:
        text = text or Path(file).expanduser().read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or "it is no text"
        raise LakeError("read", f"the key file {file}", cause, f"Check key_file of the connection {connection.id!r}") from None
    passphrase = connection.option("private_key_passphrase") or connection.password.reveal() or None
    kinds: Any = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)
    for kind in kinds:
        with suppress(paramiko.SSHException, ValueError):
            return kind.from_private_key(io.StringIO(text), passphrase)  # type: ignore[no-any-return]
    raise LakeError(
        "read", f"the connection {connection.id!r}", f"its {'key_file' if file else 'private_key'} is no OpenSSH private key, or its passphrase is another"
    )


def _compressed(source: Path) -> Iterator[bytes]:
    """A file, gzip-compressed at the fastest level, block by block: every Linux can unpack it."""
    buffer = io.BytesIO()
    with open(source, "rb") as file, gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=1, mtime=0) as packer:
        while block := file.read(CHUNK):
            packer.write(block)
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()
