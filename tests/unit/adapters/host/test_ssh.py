"""Commands over SSH, against an SSH server on loopback that runs them here: exit codes, signals, host keys, log-ins."""

import gzip
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import paramiko
import pytest

from include.adapters.host import shell
from include.adapters.host.files import Files
from include.adapters.host.ssh import Guest, NotRoot
from include.connections import Connection
from include.lake.errors import LakeError, Unreachable
from include.lake.secret import Secret


class Door(paramiko.ServerInterface):
    """Lets one key in, and runs what it is asked to."""

    def __init__(self, key: paramiko.PKey) -> None:
        self.key = key

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return paramiko.AUTH_SUCCESSFUL if key == self.key else paramiko.AUTH_FAILED  # type: ignore[attr-defined, no-any-return]

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED  # type: ignore[attr-defined, no-any-return]

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        threading.Thread(target=self._run, args=(channel, command), daemon=True).start()
        return True

    def _run(self, channel: paramiko.Channel, command: bytes) -> None:
        began = time.monotonic()
        process = subprocess.Popen(["sh", "-c", command], bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdin and process.stdout and process.stderr

        def feed() -> None:
            with suppress(OSError):
                while block := channel.recv(65536):
                    process.stdin.write(block)  # type: ignore[union-attr]
                process.stdin.close()  # type: ignore[union-attr]

        def errors() -> None:
            with suppress(OSError):
                while block := os.read(process.stderr.fileno(), 65536):  # type: ignore[union-attr]
                    channel.sendall_stderr(block)

        threading.Thread(target=feed, daemon=True).start()
        (told := threading.Thread(target=errors, daemon=True)).start()
        with suppress(OSError, EOFError):
            while block := os.read(process.stdout.fileno(), 65536):
                channel.sendall(block)
            told.join()
            code = process.wait()
            time.sleep(max(0.0, began + 0.05 - time.monotonic()))  # that the command was begun is told first, and by another thread
            if code >= 0:  # a signal leaves no exit code behind
                channel.send_exit_status(code)
        with suppress(EOFError):
            channel.close()
        process.kill()
        process.wait()


class Server:
    """An SSH server on loopback; `logins` counts its connections."""

    def __init__(self, folder: Path) -> None:
        self.host_key, self.key, self.logins = paramiko.ECDSAKey.generate(), paramiko.ECDSAKey.generate(), 0
        self.key_file = folder / "key"
        self.key.write_private_key_file(str(self.key_file))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.transports: list[paramiko.Transport] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.logins += 1
            transport = paramiko.Transport(connection)
            transport.add_server_key(self.host_key)
            transport.start_server(server=Door(self.key))
            self.transports.append(transport)

    def pinned(self, key: paramiko.PKey | None = None) -> str:
        key = key or self.host_key
        return f"{key.get_name()} {key.get_base64()}"

    def guest(self, login: str = "root", **extra: str) -> Guest:
        return Guest(
            Connection("lake_host", "ssh", "127.0.0.1", login, port=self.port, extra={"key_file": str(self.key_file), "host_key": self.pinned()} | extra)
        )

    def cut(self) -> None:
        for transport in self.transports:
            transport.close()

    def stop(self) -> None:
        self.listener.close()
        self.cut()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("ssh"))
    yield server
    server.stop()


@pytest.fixture
def guest(server: Server) -> Iterator[Guest]:
    guest = server.guest()
    yield guest
    guest.close()


def test_arguments_and_input_arrive_as_they_are(guest: Guest) -> None:
    odd = ["two words", "it's", "$HOME", '"', "*", "", "é\n", ";exit 9"]
    for given in (b"\x00secret\xff", b""):
        result = guest.run('printf "%s|" "$@"; cat', *odd, stdin=given)
        assert result.out == "|".join(odd) + "|" + given.decode(errors="replace")
        assert (result.code, result.err) == (0, "")


def test_one_connection_is_kept_for_many_commands(server: Server, guest: Guest) -> None:
    before = server.logins
    for _ in range(3):
        guest.run("true")
    assert server.logins == before + 1


def test_an_exit_code_is_an_error_unless_it_is_expected(guest: Guest) -> None:
    with pytest.raises(LakeError, match=r"Unable to run a command on the lake's VM: no such thing \(exit code 3\)\.") as caught:
        guest.run("echo first >&2; echo no such thing >&2; exit 3")
    assert not caught.value.retry
    assert guest.run("echo out; exit 3", ok=(0, 3)).code == 3
    with pytest.raises(LakeError, match=r"exit code 4 \(exit code 4\)"):
        guest.run("exit 4")


def test_a_command_that_a_signal_ended_is_a_failure_and_never_taken_for_an_answer(guest: Guest) -> None:
    with pytest.raises(Unreachable, match="the command ended without an exit code"):
        guest.run("echo complete; kill -9 $PPID; kill -9 $$", ok=(0, -1))
    guest.run("true")
    with pytest.raises(LakeError, match=r"Unable to run a command on the lake's VM: SIGKILL ended it \(exit code 137\)"):
        guest.run("echo complete; kill -9 $$", ok=(0, -9, 137))
    assert guest.run("echo next").out == "next\n"


def test_a_command_has_nothing_of_the_one_before_and_waits_for_nothing_it_left(guest: Guest) -> None:
    began = time.monotonic()
    assert guest.run("cd /; left=here; exec 3>/dev/null; sleep 5 & echo $!").out.strip().isdigit()
    assert guest.run('pwd; echo "$left"; cat; ls -l /proc/self/fd/3 2>/dev/null || true').out.splitlines() == [os.getcwd(), ""]
    guest.run("(sleep 0.2; echo late) & true")
    assert time.monotonic() - began < 4


def test_what_comes_with_the_end_of_an_answer_does_not_hide_it(guest: Guest) -> None:
    for _ in range(20):
        guest.run("(sleep 0.005; echo late) >&2 & true", timeout=5)


def test_an_answer_that_nobody_waited_for_is_not_the_next_ones(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as during:
        during.setattr(shell, "_read", interrupted)
        with pytest.raises(KeyboardInterrupt):
            guest.run("sleep 0.2; echo old")
    assert guest.run("echo new").out == "new\n"


def test_what_a_command_prints_is_told_from_where_it_ends(guest: Guest) -> None:
    for text in ("", "no line", "a line\n", "\n\n", "0" * 32 + " 0\n"):
        told = guest.run('printf %s "$1"; printf %s "$1" >&2', text)
        assert (told.out, told.err) == (text, text)
    assert len(guest.run("head -c 3000000 /dev/zero").out) == 3_000_000
    guest.run("exec >&- 2>&-")


def test_sudo_is_asked_once_for_a_connection(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = tmp_path / "asked"
    (tmp_path / "sudo").write_text(f'#!/bin/sh\necho x >>{asked}; shift; exec "$@"\n')
    (tmp_path / "sudo").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    guest = server.guest("debian")
    assert [guest.run("echo $1", str(n)).out for n in range(3)] == ["0\n", "1\n", "2\n"]
    guest.close()
    assert asked.read_text() == "x\n"


def test_what_sudo_refuses_is_told_with_what_to_write(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sudo").write_text("#!/bin/sh\necho 'sudo: a password is required' >&2; exit 1\n")
    (tmp_path / "sudo").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    guest = server.guest("debian")
    for _ in range(3):
        with pytest.raises(
            NotRoot,
            match=r"Unable to act as root on the lake's VM: sudo: a password is required\. Let debian use sudo without a password: /etc/sudoers\.d/homelake",
        ):
            guest.run("true")
    guest.close()


def test_another_host_key_than_the_pinned_one_is_never_trusted(server: Server) -> None:
    with pytest.raises(
        LakeError, match=rf"Unable to trust the lake's VM \(root@127\.0\.0\.1:{server.port}\): its host key is not the one that the connection pins"
    ) as caught:
        server.guest(host_key=server.pinned(paramiko.ECDSAKey.generate())).run("true")
    assert not caught.value.retry


def test_a_host_key_that_nobody_pinned_is_never_trusted(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(LakeError, match="its host key is not known"):
        server.guest(host_key="").run("true")


@pytest.mark.parametrize("text", ["nonsense", "ssh-ed25519 nonsense", "ssh-ed25519 AAAA"])
def test_a_pin_that_is_no_key_is_told(server: Server, text: str) -> None:
    with pytest.raises(LakeError, match=r"its host_key is not a public key\. Put there what ssh-keyscan prints"):
        server.guest(host_key=text).run("true")


KINDS = {"ECDSA": paramiko.ECDSAKey.generate, "RSA": lambda: paramiko.RSAKey.generate(2048)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_that_does_not_fit_is_told_and_not_tried_again(server: Server, tmp_path: Path, kind: str) -> None:
    KINDS[kind]().write_private_key_file(str(tmp_path / "other"))
    with pytest.raises(
        LakeError, match=r"Unable to log in to the lake's VM \(root@127\.0\.0\.1:\d+\): it accepts none of the keys given\. Check key_file"
    ) as caught:
        server.guest(key_file=str(tmp_path / "other")).run("true")
    assert not caught.value.retry


def test_a_key_file_that_cannot_be_used_is_told(server: Server, tmp_path: Path) -> None:
    with pytest.raises(LakeError, match=r"Unable to read the key file .*none: No such file or directory\. Check key_file of the connection 'lake_host'"):
        server.guest(key_file=str(tmp_path / "none")).run("true")
    for content in (b"\xff\xfe", b"", b"ssh-ed25519 AAAA a public key\n"):
        (tmp_path / "bad").write_bytes(content)
        with pytest.raises(LakeError, match=r"it is no text|its key_file is no OpenSSH private key"):
            server.guest(key_file=str(tmp_path / "bad")).run("true")


def test_a_private_key_may_stand_in_the_connection_itself(server: Server) -> None:
    guest = server.guest(key_file="", private_key=server.key_file.read_text())
    assert guest.run("echo in").out == "in\n"
    guest.close()
    with pytest.raises(LakeError, match="its private_key is no OpenSSH private key") as caught:
        server.guest(key_file="", private_key="-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2\n").run("true")
    assert "hunter2" not in str(caught.value)


def test_a_key_with_a_passphrase(server: Server, tmp_path: Path) -> None:
    server.key.write_private_key_file(str(tmp_path / "locked"), password="open sesame")
    guest = server.guest(key_file=str(tmp_path / "locked"), private_key_passphrase="open sesame")
    assert guest.run("echo in").out == "in\n"
    guest.close()
    for wrong in ({}, {"private_key_passphrase": "open barley"}):
        with pytest.raises(LakeError, match="or its passphrase is another") as caught:
            server.guest(key_file=str(tmp_path / "locked"), **wrong).run("true")
        assert "barley" not in str(caught.value)


def test_nobody_there_is_out_of_reach_at_once() -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
        guest = Guest(Connection("lake_host", "ssh", "127.0.0.1", "root", Secret("pw"), port, {"host_key": f"ssh-ed25519 {'A' * 68}"}))
        with pytest.raises(LakeError):
            guest.run("true")
        guest = Guest(Connection("lake_host", "ssh", "127.0.0.1", "root", Secret("pw"), port))
        for call in (lambda: guest.run("true"), lambda: guest.locked("x").__enter__(), lambda: guest.send(Path(__file__), "cat")):
            with pytest.raises(Unreachable, match=rf"Unable to reach the lake's VM \(root@127\.0\.0\.1:{port}\): connection refused\. Check that the VM runs"):
                call()


@pytest.mark.parametrize("host", ["..", f"{'a' * 64}.example", "a..b"])
def test_a_host_that_is_no_name_is_told(host: str) -> None:
    guest = Guest(Connection("lake_host", "ssh", host, "root", Secret("pw")))
    for call in (lambda: guest.run("true"), lambda: guest.locked("x").__enter__(), lambda: guest.send(Path(__file__), "cat")):
        with pytest.raises(LakeError, match=r"that is no name of a host\. Correct host of the connection 'lake_host'"):
            call()


def test_a_connection_that_broke_is_told_and_the_next_command_opens_another(server: Server, guest: Guest) -> None:
    guest.run("true")
    server.cut()
    with pytest.raises(Unreachable):
        guest.run("true")
    assert guest.run("echo again").out == "again\n"


@pytest.mark.parametrize("broken", ["cut", "Ctrl-C"])
@pytest.mark.parametrize("arrived", [0, 5])
def test_a_file_stays_as_it_was_when_the_connection_breaks_before_all_of_it_is_there(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, arrived: int
) -> None:
    guest, send, (file, done) = Files(server.guest()._connection), paramiko.Channel.sendall, (tmp_path / "file", tmp_path / "done")
    file.write_text("as it was\n")

    def breaks(channel: paramiko.Channel, content: bytes) -> None:
        send(channel, content[:arrived])
        if broken == "Ctrl-C":
            raise KeyboardInterrupt
        server.cut()

    command = guest._command
    monkeypatch.setattr(guest, "_command", lambda script, args: command(f"trap 'touch {done}' EXIT\n{script}", args))
    monkeypatch.setattr(paramiko.Channel, "sendall", breaks)
    with pytest.raises(KeyboardInterrupt if broken == "Ctrl-C" else Unreachable):
        guest.write('printf %s "$content" >"$1"', str(file), content=b"what is new\n")
    deadline = time.monotonic() + 10
    while not done.exists():
        assert time.monotonic() < deadline, "what was begun over there has not ended"
        time.sleep(0.01)
    assert file.read_text() == "as it was\n"
    guest.close()


def test_a_file_arrives_compressed_and_whole(guest: Guest, tmp_path: Path) -> None:
    content = os.urandom(2_500_000) + b"a" * 1_000_000
    (tmp_path / "file").write_bytes(content)
    guest.send(tmp_path / "file", 'cat >"$1"', str(tmp_path / "arrived.gz"))
    assert gzip.decompress((tmp_path / "arrived.gz").read_bytes()) == content
    with pytest.raises(LakeError, match="no space left"):
        guest.send(tmp_path / "file", "cat >/dev/null; echo no space left >&2; exit 1")


def test_what_ends_before_all_has_been_sent_is_told_with_its_cause(server: Server, guest: Guest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "big").write_bytes(os.urandom(8_000_000))
    for call in (lambda: guest.send(tmp_path / "big", "echo full >&2; exit 1"), lambda: guest.run("echo full >&2; exit 1", stdin=bytes(8_000_000))):
        with pytest.raises(LakeError, match=r"Unable to run a command on the lake's VM: full \(exit code 1\)\.") as caught:
            call()
        assert not isinstance(caught.value, Unreachable)
    (tmp_path / "sudo").write_text("#!/bin/sh\necho 'sudo: a password is required' >&2; exit 1\n")
    (tmp_path / "sudo").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    other = server.guest("debian")
    for call in (lambda: other.send(tmp_path / "big", "cat"), lambda: other.run("cat", stdin=bytes(8_000_000))):
        with pytest.raises(NotRoot, match="a password is required"):
            call()
    other.close()


def test_a_connection_that_breaks_while_a_file_is_sent_is_no_failure_of_the_command(
    server: Server, guest: Guest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "big").write_bytes(os.urandom(100_000))
    send = paramiko.Channel.sendall

    def breaks(channel: paramiko.Channel, content: bytes) -> None:
        server.cut()
        send(channel, content)

    monkeypatch.setattr(paramiko.Channel, "sendall", breaks)
    for call in (lambda: guest.send(tmp_path / "big", "cat >/dev/null"), lambda: guest.run("cat >/dev/null", stdin=b"x")):
        with pytest.raises(Unreachable, match="Unable to reach the lake's VM"):
            call()


@pytest.fixture
def writers(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Guest]]:
    """Three who may write to one VM, whose lock lies in a folder of the test's own."""
    made = [server.guest() for _ in range(3)]
    for guest in made:
        command = guest._command
        monkeypatch.setattr(guest, "_command", lambda script, args, command=command: command(script.replace("/run/homelake", str(tmp_path / "lock")), args))
    yield made
    for guest in made:
        guest.close()


def test_a_writer_keeps_another_out_until_it_is_done(writers: list[Guest]) -> None:
    first, second, _ = writers
    for _ in range(3):
        with first.locked("the first"):
            with pytest.raises(Unreachable, match=r"Unable to reach the lake alone: another writer works on it \(the first\)\. Wait for it, and run again\."):
                second.locked("the second").__enter__()
        with second.locked("the second"):
            pass


@pytest.mark.parametrize(
    ("sudo", "error", "told"),
    [
        ("echo 'sudo: a password is required' >&2; exit 1", NotRoot, r"Unable to act as root on the lake's VM: sudo: a password is required\. Let debian use"),
        ("echo 'no bash' >&2; exit 127", LakeError, r"Unable to run a command on the lake's VM: no bash \(exit code 127\)"),
        ("kill -9 $PPID; kill -9 $$", Unreachable, r"Unable to reach the lake's VM: the command ended without an exit code"),
    ],
)
def test_a_lock_that_nobody_could_ask_for_is_not_another_writers(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sudo: str, error: type[LakeError], told: str
) -> None:
    (tmp_path / "sudo").write_text(f"#!/bin/sh\n{sudo}\n")
    (tmp_path / "sudo").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    guest = server.guest("debian")
    with pytest.raises(LakeError, match=told) as caught:
        guest.locked("x").__enter__()
    assert type(caught.value) is error
    guest.close()


def test_a_place_where_no_lock_can_be_is_told(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    guest = server.guest()
    command = guest._command
    monkeypatch.setattr(guest, "_command", lambda script, args: command(script.replace("/run/homelake", str(tmp_path / "file/lock")), args))
    with pytest.raises(LakeError, match="Not a directory"):
        guest.locked("x").__enter__()
    guest.close()


def test_a_writer_whose_connection_broke_has_the_lock_again_before_it_goes_on(server: Server, writers: list[Guest]) -> None:
    first, second, third = writers
    with first.locked("the first"):
        first._client.get_transport().close()  # type: ignore[union-attr] # on this side: what holds the lock over there may live on for a while
        with pytest.raises(Unreachable):
            first.run("true")
        assert first.run("echo on").out == "on\n"
        with pytest.raises(Unreachable, match=r"another writer works on it \(the first\)"):
            second.locked("the second").__enter__()
    with third.locked("the third"):
        pass


def test_a_writer_that_lost_the_lock_to_another_writes_no_more(server: Server, writers: list[Guest]) -> None:
    first, second, _ = writers
    with first.locked("the first"):
        server.cut()
        with pytest.raises(Unreachable):
            first.run("true")
        deadline = time.monotonic() + 10
        while True:
            try:
                entered = second.locked("the second")
                entered.__enter__()
                break
            except Unreachable:
                assert time.monotonic() < deadline
        with pytest.raises(Unreachable, match=r"another writer works on it \(the second\)"):
            first.run("echo never")
        entered.__exit__(None, None, None)
        assert first.run("echo on").out == "on\n"
