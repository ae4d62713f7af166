"""Where a program comes from: a file, a URL, an image; what is kept, and by what."""

import builtins
import errno
import hashlib
import http.server
import io
import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from include.adapters import binaries
from include.adapters.binaries import Binaries
from include.lake.errors import LakeError, Refused, Unreachable
from include.lake.resources.binary import Source
from tests.unit.adapters.images import Archive, layer

PROGRAM = b"\x7fELF a program" * 5000
SHA256 = hashlib.sha256(PROGRAM).hexdigest()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(binaries, "CACHE", tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def them(cache: Path, said: list[str]) -> Binaries:
    return Binaries(said.append)


class Server:
    """Files over HTTP on loopback; `asked` are the paths asked for."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Handler(http.server.SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                super().do_GET()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "minio").write_bytes(PROGRAM)
    server = Server(tmp_path / "www")
    yield server
    server.stop()


def test_a_file_is_taken_where_it_lies(them: Binaries, tmp_path: Path, cache: Path) -> None:
    file = tmp_path / "minio"
    file.write_bytes(PROGRAM)
    source = Source(file=str(file))
    assert them.digest(source, "x86_64") == SHA256
    assert them.fetch(source, "x86_64") == (file, SHA256)
    file.write_bytes(b"another")
    assert them.digest(source, "x86_64") == hashlib.sha256(b"another").hexdigest(), "a file is read anew each time"
    assert not cache.exists()


def test_a_file_in_the_home_folder(them: Binaries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "minio").write_bytes(PROGRAM)
    assert them.digest(Source(file="~/minio"), "x86_64") == SHA256


@pytest.mark.parametrize("method", ["digest", "fetch"])
def test_a_file_that_is_not_there_is_told(them: Binaries, tmp_path: Path, method: str) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(LakeError, match=r"there is no such file on this machine\. Put it there, or change minio\.binary\.file in lake\.yaml\."):
            getattr(them, method)(Source(file=str(path)), "x86_64")


def test_a_url_is_fetched_once_and_kept(them: Binaries, server: Server, said: list[str]) -> None:
    source = Source(url=f"{server.url}/minio", sha256=SHA256)
    assert them.digest(source, "x86_64") == SHA256, "known from the declaration, without a fetch"
    assert not server.asked
    path, sha256 = them.fetch(source, "x86_64")
    assert (path.read_bytes(), sha256) == (PROGRAM, SHA256)
    assert them.fetch(source, "x86_64") == (path, sha256)
    assert Binaries(said.append).fetch(source, "x86_64") == (path, sha256), "and by the next process"
    assert server.asked == ["/minio"]
    assert said == [f"fetching {server.url}/minio"]


def test_what_is_not_what_its_publisher_states_is_refused_and_not_kept(them: Binaries, server: Server, cache: Path) -> None:
    wrong = Source(url=f"{server.url}/minio", sha256="0" * 64)
    for _ in range(2):
        with pytest.raises(LakeError, match=f"its SHA-256 is {SHA256}, and {'0' * 64} is declared"):
            them.fetch(wrong, "x86_64")
    assert len(server.asked) == 2
    assert not [f for f in cache.rglob("*") if f.is_file() and f.name != "lock"], "nothing of it stays"
    assert them.fetch(Source(url=f"{server.url}/minio", sha256=SHA256), "x86_64")[1] == SHA256


def test_a_url_without_anything_behind_it_may_be_tried_again(them: Binaries, server: Server) -> None:
    with pytest.raises(Unreachable, match="404") as caught:
        them.fetch(Source(url=f"{server.url}/none", sha256=SHA256), "x86_64")
    assert caught.value.retry
    url = server.url
    server.stop()
    with pytest.raises(Unreachable, match="refused"):
        them.fetch(Source(url=f"{url}/minio", sha256=SHA256), "x86_64")


@pytest.mark.parametrize("left", [b"", b"\0" * 64, b"\xff" * 64, SHA256[:40].encode()], ids=["empty", "zeros", "noise", "half"])
def test_a_note_that_a_full_disk_or_a_power_cut_left_counts_as_absent(them: Binaries, tmp_path: Path, left: bytes) -> None:
    source = Source(image=f"oci-archive:{archive(tmp_path / 'image.tar')}")
    path, _ = them.fetch(source, "x86_64")
    (path.parent / "sha256").write_bytes(left)
    assert them.digest(source, "x86_64") is None
    path.write_bytes(b"")
    assert them.fetch(source, "x86_64") == (path, SHA256)
    assert path.read_bytes() == PROGRAM
    path.unlink()
    assert them.fetch(source, "x86_64")[0].read_bytes() == PROGRAM


def test_a_disk_that_is_full_at_the_note_leaves_none(them: Binaries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, real = Source(image=f"oci-archive:{archive(tmp_path / 'image.tar')}"), Path.write_text

    def full(path: Path, text: str) -> int:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(LakeError, match=r"Unable to keep a program in .*: \[Errno 28\] No space left on device\. Name a folder"):
        them.fetch(source, "x86_64")
    monkeypatch.setattr(Path, "write_text", real)
    assert them.fetch(source, "x86_64")[1] == SHA256


def closed(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    """To this account a place and all below it are closed, as to any but root; the tests may run as root."""

    def refusing(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *args: Any, **options: Any) -> Any:
            if isinstance(path, (str, Path)) and Path(path).is_relative_to(place):
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return real(path, *args, **options)

        return call

    for where, name in ((builtins, "open"), (io, "open"), (os, "stat"), (os, "mkdir")):
        monkeypatch.setattr(where, name, refusing(getattr(where, name)))


@pytest.mark.parametrize("method", ["digest", "fetch"])
def test_a_file_that_this_account_may_not_read_is_told(them: Binaries, tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "minio"
    file.write_bytes(PROGRAM)
    said = rf"Unable to read the program {file}: Permission denied: {file}\. Let this account read it, or change minio\.binary\.file"
    with monkeypatch.context() as patch:
        closed(patch, tmp_path)
        with pytest.raises(LakeError, match=said):
            getattr(them, method)(Source(file=str(file)), "x86_64")
    with pytest.raises(LakeError, match=r"Unable to read the program ~nosuch-account/minio: there is no such file on this machine\."):
        getattr(them, method)(Source(file="~nosuch-account/minio"), "x86_64")


def test_a_cache_that_this_account_may_not_use_is_told(them: Binaries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(image=f"oci-archive:{archive(tmp_path / 'image.tar')}")
    with monkeypatch.context() as patch:
        closed(patch, tmp_path / "image.tar")
        with pytest.raises(LakeError, match=r"Unable to read the image oci-archive:.*image\.tar: Permission denied: .*\. Let this account read it"):
            them.digest(source, "x86_64")
    closed(monkeypatch, tmp_path / "cache")
    for call, verb in ((them.fetch, "keep a program in"), (them.digest, "read the programs kept in")):
        with pytest.raises(LakeError, match=rf"Unable to {verb} {tmp_path}/cache: Permission denied: .*\. Name a folder of this account .* HOMELAKE_CACHE\."):
            call(source, "x86_64")


def archive(path: Path, program: bytes = PROGRAM) -> Path:
    a = Archive()
    return a.write(path, a.image("arm64", layer({"minio": b"arm"})), a.image("amd64", layer({"usr/bin/minio": program})))


def test_a_program_is_taken_out_of_an_image_for_the_vms_machine(them: Binaries, tmp_path: Path) -> None:
    source = Source(image=f"oci-archive:{archive(tmp_path / 'image.tar')}")
    assert them.digest(source, "x86_64") is None, "not known before it was taken out"
    path, sha256 = them.fetch(source, "x86_64")
    assert (path.read_bytes(), sha256) == (PROGRAM, SHA256)
    assert them.digest(source, "x86_64") == SHA256
    assert them.digest(source, "aarch64") is None, "another machine's is another program"
    assert them.fetch(source, "aarch64")[0].read_bytes() == b"arm"
    assert them.fetch(source, "x86_64") == (path, sha256)


def test_an_archive_replaced_under_its_name_is_taken_anew(them: Binaries, tmp_path: Path) -> None:
    path = archive(tmp_path / "image.tar")
    source = Source(image=f"oci-archive:{path}")
    assert them.fetch(source, "x86_64")[1] == SHA256
    os.utime(archive(path, b"newer"), ns=(1, 1))
    assert them.digest(source, "x86_64") is None
    assert them.fetch(source, "x86_64")[0].read_bytes() == b"newer"


def test_an_image_for_another_machine_only_is_refused_and_not_kept(them: Binaries, tmp_path: Path, cache: Path) -> None:
    with pytest.raises(Refused, match="no linux/s390x"):
        them.fetch(Source(image=f"oci-archive:{archive(tmp_path / 'image.tar')}"), "s390x")
    assert not [f for f in cache.rglob("*") if f.is_file() and f.name != "lock"]


def test_without_skopeo_or_go_it_says_what_to_install(them: Binaries, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(LakeError, match=r"there is no skopeo on this machine\. apt-get install skopeo, or name a local archive: oci-archive:PATH"):
        them.fetch(Source(image="quay.io/minio/minio:latest"), "x86_64")
    with pytest.raises(LakeError, match=r"there is no go on this machine\. Install Go 1\.24 or newer, or declare minio\.binary as a file"):
        them.fetch(Source(go="github.com/minio/minio@v0.0.0-x"), "x86_64")


def tool(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/bash\n{script}\n")
    (folder / name).chmod(0o755)


def test_an_image_of_a_registry_is_fetched_for_the_vms_platform(them: Binaries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = archive(tmp_path / "image.tar")
    tool(tmp_path / "bin", "skopeo", f'echo "$@" >{tmp_path}/asked; cp {image} "${{@: -1}}" 2>/dev/null || cp {image} "${{7#oci-archive:}}"')
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    assert them.fetch(Source(image="registry.example/minio:1"), "x86_64")[1] == SHA256
    asked = (tmp_path / "asked").read_text()
    assert asked.startswith("copy --override-os linux --override-arch amd64 docker://registry.example/minio:1 oci-archive:")
    tool(tmp_path / "bin", "skopeo", "echo 'time=... level=fatal msg=no such host' >&2; exit 1")
    with pytest.raises(Unreachable, match="no such host"):
        them.fetch(Source(image="registry.example/minio:2"), "x86_64")


@pytest.mark.parametrize(("version", "toolchain", "good"), [
    ("go1.26.8", "local", True), ("go1.24.0", "local", True), ("devel +abc", "local", True), ("go1.22.2", "auto", True), ("go1.22.2", "go1.22.2+auto", True),
    ("go1.22.2", "local", False), ("go1.19.8", "", False), ("go1.19.8", "auto", False),
])  # fmt: skip
def test_a_go_that_is_too_old_and_fetches_no_newer_one_is_told(
    them: Binaries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, toolchain: str, good: bool
) -> None:
    tool(tmp_path / "bin", "go", f"[ \"$*\" = 'env GOVERSION GOTOOLCHAIN' ] && printf '%s\\n' '{version}' '{toolchain}'")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    source = Source(go="github.com/minio/minio@v0.0.0-x")
    if good:
        assert them.ready(source) == version
        return
    with pytest.raises(
        LakeError, match=rf"Unable to build github.*: {version} on this machine is older than Go 1\.24, and fetches no newer one\. Install Go 1\.24"
    ):
        them.ready(source)


def test_what_a_source_needs_is_looked_for_and_nothing_is_made(them: Binaries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    image = archive(tmp_path / "image.tar")
    for source in (Source(file=str(image)), Source(image=f"oci-archive:{image}"), Source(url="http://127.0.0.1:1/minio", sha256=SHA256)):
        assert them.ready(source)
    for source, said in ((Source(file=f"{tmp_path}/none"), "no such file"), (Source(image=f"oci-archive:{tmp_path}/none"), "No such file"),
                         (Source(image="quay.io/minio/minio:1"), "no skopeo"), (Source(go="github.com/minio/minio@v0.0.0-x"), "no go on this")):  # fmt: skip
        with pytest.raises(LakeError, match=said):
            them.ready(source)
    assert not cache.exists()
    tool(tmp_path / "bin", "go", "echo 'go: bad GOFLAGS' >&2; exit 2")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    with pytest.raises(LakeError, match=r"Unable to run .*/go: .*\. Try it yourself: go env\."):
        them.ready(Source(go="github.com/minio/minio@v0.0.0-x"))


GO = """
[ "$1" = env ] && { echo /modules; exit; }
printf '%s\\n' "GOOS=$GOOS GOARCH=$GOARCH CGO=$CGO_ENABLED GOBIN=$GOBIN" "$@" >"$ASKED"
mkdir -p "$GOPATH/bin/linux_$GOARCH"; printf 'built' >"$GOPATH/bin/linux_$GOARCH/minio"
"""


def test_a_go_module_is_built_for_the_vms_machine_and_says_its_version(
    them: Binaries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    tool(tmp_path / "bin", "go", GO)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("ASKED", str(tmp_path / "asked"))
    monkeypatch.setenv("GOBIN", "/somewhere")  # Go refuses it when it builds for another machine
    source = Source(go="github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c")
    path, _ = them.fetch(source, "aarch64")
    assert path.read_text() == "built"
    environment, *command = (tmp_path / "asked").read_text().splitlines()
    assert environment == "GOOS=linux GOARCH=arm64 CGO=0 GOBIN="
    assert command[-1] == source.go
    linked = command[command.index("-ldflags") + 1]
    assert "-X github.com/minio/minio/cmd.Version=2026-02-12T20:18:48Z" in linked
    assert "-X github.com/minio/minio/cmd.ReleaseTag=DEVELOPMENT.2026-02-12T20-18-48Z" in linked
    assert "-X github.com/minio/minio/cmd.CommitID=7aac2a2c5b7c" in linked
    assert said == [f"building {source.go} (once, 3 to 4 minutes on two cores)"]
    assert them.fetch(source, "aarch64")[0] == path
    assert len(said) == 1


def test_a_build_that_fails_is_told_with_gos_last_lines(them: Binaries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool(tmp_path / "bin", "go", '[ "$1" = env ] && exit; for i in 1 2 3 4 5 6 7; do echo "line $i" >&2; done; exit 1')
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    with pytest.raises(LakeError, match=r"line 3\nline 4\nline 5\nline 6\nline 7\. Check the module's version and the Go proxy\.") as caught:
        them.fetch(Source(go="example.org/nothing@v1.0.0"), "x86_64")
    assert "line 2" not in str(caught.value)


def test_two_who_fetch_at_once_fetch_once(them: Binaries, server: Server) -> None:
    source, found = Source(url=f"{server.url}/minio", sha256=SHA256), []
    threads = [threading.Thread(target=lambda: found.append(them.fetch(source, "x86_64"))) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(set(found)) == 1
    assert server.asked == ["/minio"]
