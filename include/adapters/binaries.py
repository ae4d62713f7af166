"""Where a program comes from: a Go module, a file, a URL, a container image. Results are kept by what they are made from."""

import fcntl
import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import requests

from include.adapters.network import network_cause
from include.adapters.oci import program_in
from include.adapters.tools import go_env, go_for, go_version, skopeo_for
from include.lake.errors import LakeError, Unreachable
from include.lake.resources.binary import Source

CACHE = Path(os.environ.get("HOMELAKE_CACHE") or Path.home() / ".cache" / "homelake")
_MARK = "sha256"  # beside a program that is kept: its digest
_ELSEWHERE = "Name a folder of this account with room for it in HOMELAKE_CACHE"
_IMAGE = "Let this account read it, or change minio.binary.image in lake.yaml"
_GOARCH = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "ppc64le", "s390x": "s390x", "riscv64": "riscv64"}


class Binaries:
    """Programs on the bastion. `say` is told of what takes long."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def digest(self, source: Source, machine: str) -> str | None:
        """The SHA-256 of what a source gives, as far as it is known without building or fetching."""
        if source.file:
            return _sha256(_file(source.file))
        if source.url:
            return source.sha256
        with _told("read", f"the programs kept in {CACHE}", _ELSEWHERE):
            return _marked(_place(source, machine))

    def ready(self, source: Source) -> str:
        """With what a source's program is made or fetched here. Raises LakeError when that is not on this machine."""
        if source.file:
            return f"the file {_file(source.file)}"
        if source.url:
            return "its address, at which nobody has looked"
        if source.go:
            return go_version(source.go)
        archive = _archive(source)
        if not archive:
            return skopeo_for(str(source))
        with _told("read", f"the image {source}", _IMAGE):
            open(archive, "rb").close()
        return f"the archive {archive}"

    def fetch(self, source: Source, machine: str) -> tuple[Path, str]:
        """The program and its SHA-256, built or fetched when that has not been done before."""
        if source.file:
            path = _file(source.file)
            return path, _sha256(path)
        with _told("keep", f"a program in {CACHE}", _ELSEWHERE), _alone(place := _place(source, machine)):
            program, sha256 = place / "program", _marked(place)
            if not sha256 or not program.exists():
                (place / _MARK).unlink(missing_ok=True)
                make = self._build if source.go else self._download if source.url else self._extract
                with tempfile.TemporaryDirectory(dir=place) as scratch:
                    made = make(source, machine, Path(scratch))
                    sha256 = _sha256(made)
                    (fresh := Path(scratch) / _MARK).write_text(sha256)
                    for kept, name in ((made, program), (fresh, place / _MARK)):
                        _sync(kept)  # a full disk is told here, and a power cut leaves no name without its content
                        kept.rename(name)
            return program, sha256

    def _build(self, source: Source, machine: str, scratch: Path) -> Path:
        module = source.go or ""
        go = go_for(module)
        self._say(f"building {module} (once, 3 to 4 minutes on two cores)")
        path, _, version = module.partition("@")
        command = [go, "install", "-trimpath", "-gcflags=all=-dwarf=false", "-ldflags", _flags(path, version), module]  # no debugger: a tenth less to compile
        # GOPATH/bin is used, not GOBIN: Go refuses GOBIN when it builds for another machine.
        environment = {"GOGC": "off", "GOMEMLIMIT": "2GiB"} | os.environ  # the compiler's garbage collection takes a seventh of its time
        environment |= {"CGO_ENABLED": "0", "GOOS": "linux", "GOARCH": _GOARCH.get(machine, machine)}
        environment |= {"GOPATH": str(scratch / "go"), "GOMODCACHE": go_env(go, "GOMODCACHE")[0], "GOFLAGS": "-modcacherw"}
        environment.pop("GOBIN", None)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=scratch)
        if done.returncode:
            raise LakeError(
                "build",
                module,
                "\n".join(done.stderr.strip().splitlines()[-5:]) or f"go ended with {done.returncode}",
                "Check the module's version and the Go proxy",
            )
        built = [p for p in (scratch / "go/bin").rglob("*") if p.is_file()]
        if len(built) != 1:
            raise LakeError("build", module, f"it gives {len(built)} programs, not one", "Name the module's main package")
        return built[0]

    def _download(self, source: Source, machine: str, scratch: Path) -> Path:
        url, path = source.url or "", scratch / "download"
        self._say(f"fetching {url}")
        try:
            with requests.get(url, stream=True, timeout=60) as answer, open(path, "wb") as file:
                answer.raise_for_status()
                for block in answer.iter_content(1 << 20):
                    file.write(block)
        except requests.RequestException as error:
            raise Unreachable(url, network_cause(error)) from None
        if (found := _sha256(path)) != source.sha256:
            raise LakeError(
                "fetch",
                url,
                f"its SHA-256 is {found}, and {source.sha256} is declared",
                "Take the digest the publisher states; if it is the declared one, the file was changed",
            )
        return path

    def _extract(self, source: Source, machine: str, scratch: Path) -> Path:
        image, arch = source.image or "", _GOARCH.get(machine, machine)
        archive = _archive(source)
        if not archive:
            skopeo = skopeo_for(image)
            archive = scratch / "image.tar"
            self._say(f"fetching the image {image} for linux/{arch}")
            done = subprocess.run([skopeo, "copy", "--override-os", "linux", "--override-arch", arch, f"docker://{image}", f"oci-archive:{archive}"],
                                  capture_output=True, text=True, check=False)  # fmt: skip
            if done.returncode:
                raise Unreachable(f"the image {image}", (done.stderr.strip().splitlines() or ["skopeo failed"])[-1])
        return program_in(archive, arch, "minio", scratch / "program")


def _flags(module: str, version: str) -> str:
    """A release built from its module says its version only if it is told: upstream's own build does it so."""
    flags = "-s -w"
    match = re.search(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)-([0-9a-f]{12})$", version)
    if module == "github.com/minio/minio" and match:
        y, mo, d, h, mi, s, commit = match.groups()
        stamp = {"Version": f"{y}-{mo}-{d}T{h}:{mi}:{s}Z", "ReleaseTag": f"DEVELOPMENT.{y}-{mo}-{d}T{h}-{mi}-{s}Z", "CommitID": commit, "ShortCommitID": commit}
        flags += "".join(f" -X github.com/minio/minio/cmd.{k}={v}" for k, v in stamp.items())
    return flags


def _file(name: str) -> Path:
    with _told("read", f"the program {name}", "Let this account read it, or change minio.binary.file in lake.yaml"):
        path = Path(name)
        with suppress(RuntimeError):  # the home folder of nobody: there is no such file
            path = path.expanduser()
        there = path.is_file()
        if there:
            open(path, "rb").close()
    if not there:
        raise LakeError("read", f"the program {name}", "there is no such file on this machine", "Put it there, or change minio.binary.file in lake.yaml")
    return path


def _archive(source: Source) -> Path | None:
    """The local archive that a source names, if it names one."""
    image = source.image or ""
    return Path(image.removeprefix("oci-archive:")) if image.startswith("oci-archive:") else None


def said_of(source: Source, machine: str) -> str:
    """What a program was made from, to be compared where there is no cache; empty where the source itself says what it gives."""
    return f"{source} {machine} {_version(source)}".strip() if source.go or source.image else ""


def _version(source: Source) -> str:
    """A local archive may be replaced under its name; a module, a digest and a tag are taken at their word."""
    content = _archive(source)
    with _told("read", f"the image {source}", _IMAGE):
        return str(content.stat().st_mtime_ns) if content and content.exists() else ""


def _place(source: Source, machine: str) -> Path:
    key = hashlib.sha256(f"{source} {source.sha256} {machine} {_version(source)}".encode()).hexdigest()[:12]
    return CACHE / f"program-{key}"


def _marked(place: Path) -> str | None:
    """The SHA-256 that is noted there. A note that is none, as a full disk or a power cut left it earlier, counts as absent."""
    with suppress(FileNotFoundError, NotADirectoryError):
        text = (place / _MARK).read_text(errors="replace")
        return text if re.fullmatch("[0-9a-f]{64}", text) else None
    return None


def _sync(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


@contextmanager
def _told(verb: str, what: str, remedy: str) -> Iterator[None]:
    """What the file system refuses, as an error with a remedy."""
    try:
        yield
    except OSError as error:
        cause = f"{error.strerror}: {error.filename}" if error.filename else str(error)
        raise LakeError(verb, what, cause, remedy) from None


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    place.mkdir(parents=True, exist_ok=True)
    with open(place / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
