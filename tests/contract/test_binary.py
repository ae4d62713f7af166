"""The contract of BinaryClient, with small programs under a name of their own."""

import hashlib
import tarfile
from pathlib import Path

import pytest

from include.lake.errors import LakeError, Refused
from include.lake.resource import LATER, ensure, plan
from include.lake.resources.binary import Binary, BinaryState, Source
from lab.k8s.oci import Image, write_archive
from tests.contract.programs import CLEAR, Program, Programs, fake_guest, invented
from tests.contract.real import NAME

ABSENT = Source(file="/programs/nowhere")


class Fake:
    """A new fake for each test."""

    programs = invented()

    def clear(self) -> None:
        self.client = fake_guest()

    def close(self) -> None:
        pass

    def in_an_image(self, program: Program, folder: Path) -> Source:
        """The program inside a container image."""
        source = Source(image="oci-archive:/programs/image")
        self.client.sources[str(source)] = (program.sha256, program.head, program.said)
        return source

    def half_stage(self, program: Program) -> None:
        """What a killed staging leaves."""

    def put_by_hand(self, program: Program) -> None:
        """Put a program in place past Homelake."""
        self.client.links[NAME], self.client.by_hand[program.sha256] = program.sha256, program.said


class Real:
    """The lab's VM."""

    needs = "programs"

    def __init__(self, programs: Programs) -> None:
        self.root, self.client, self.programs = programs.parts.root, programs.parts.clients.host, programs.by_name

    def clear(self) -> None:
        self.root(CLEAR)

    def close(self) -> None:
        pass

    def in_an_image(self, program: Program, folder: Path) -> Source:
        with tarfile.open(folder / "layer.tar", "w") as tar:
            tar.add(str(program.source.file), "usr/bin/minio")
        write_archive(folder / "image.tar", [Image("minio:contract", (folder / "layer.tar",))])
        return Source(image=f"oci-archive:{folder / 'image.tar'}")

    def half_stage(self, program: Program) -> None:
        self.root(f"mkdir -p /usr/local/lib/{NAME}/{program.sha256}; echo half >/usr/local/lib/{NAME}/{program.sha256}/.{NAME}.new")

    def put_by_hand(self, program: Program) -> None:
        self.client.stage(NAME, program.source, program.sha256)
        self.root(f"mv /usr/local/lib/{NAME}/{program.sha256}/{NAME} /usr/local/bin/{NAME}; rm -r /usr/local/lib/{NAME}")


Rig = Fake | Real


def test_a_source_is_known_by_its_content(rig: Rig) -> None:
    machine = rig.client.machine()
    assert machine == "x86_64"
    for name in ("one", "script"):
        program = rig.programs[name]
        assert rig.client.digest(program.source, machine) == program.sha256
        sha256, head = rig.client.fetch(program.source, machine)
        assert (sha256, head[:20]) == (program.sha256, program.head[:20])
    for call in (lambda: rig.client.digest(ABSENT, machine), lambda: rig.client.fetch(ABSENT, machine), lambda: rig.client.stage(NAME, ABSENT, "0" * 64)):
        with pytest.raises(LakeError):
            call()


def test_an_image_is_known_once_it_was_fetched(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.adapters.binaries.CACHE", tmp_path)
    program = rig.programs["one"]
    source = rig.in_an_image(program, tmp_path)
    assert rig.client.digest(source, "x86_64") is None
    assert rig.client.fetch(source, "x86_64")[0] == program.sha256
    assert rig.client.digest(source, "x86_64") == program.sha256


def test_a_url_is_known_by_what_is_declared(rig: Rig) -> None:
    digest = hashlib.sha256(b"x").hexdigest()
    assert rig.client.digest(Source(url="http://127.0.0.1:1/minio", sha256=digest), "x86_64") == digest


def test_staging_puts_nothing_in_place(rig: Rig) -> None:
    program = rig.programs["one"]
    assert rig.client.installed(NAME) is None
    rig.half_stage(program)
    with pytest.raises(LakeError):
        rig.client.try_out(NAME, program.sha256)
    for _ in range(2):
        rig.client.stage(NAME, program.source, program.sha256)
        assert rig.client.try_out(NAME, program.sha256) == program.said
    assert rig.client.installed(NAME) is None


def test_what_arrives_changed_is_not_staged(rig: Rig) -> None:
    with pytest.raises(LakeError):
        rig.client.stage(NAME, rig.programs["one"].source, rig.programs["two"].sha256)
    with pytest.raises(LakeError):
        rig.client.try_out(NAME, rig.programs["two"].sha256)


def test_switching_keeps_the_one_before(rig: Rig) -> None:
    one, two = rig.programs["one"], rig.programs["two"]
    for program in (one, two):
        rig.client.stage(NAME, program.source, program.sha256)
        for _ in range(2):
            rig.client.switch(NAME, program.sha256)
        assert rig.client.installed(NAME) == program.sha256
    assert rig.client.try_out(NAME, one.sha256) == one.said


def test_what_was_never_staged_is_not_put_in_place(rig: Rig) -> None:
    one, two = rig.programs["one"], rig.programs["two"]
    with pytest.raises(LakeError, match="never staged"):
        rig.client.switch(NAME, one.sha256)
    assert rig.client.installed(NAME) is None
    rig.client.stage(NAME, one.source, one.sha256)
    rig.client.switch(NAME, one.sha256)
    for call in (rig.client.switch, rig.client.try_out):
        with pytest.raises(LakeError, match="never staged"):
            call(NAME, two.sha256)
    assert rig.client.installed(NAME) == one.sha256


def test_what_is_in_place_is_not_discarded(rig: Rig) -> None:
    one, two = rig.programs["one"], rig.programs["two"]
    for program in (one, two):
        rig.client.stage(NAME, program.source, program.sha256)
    rig.client.switch(NAME, one.sha256)
    for program in (one, two, two):  # once more: nothing to discard is no error
        rig.client.discard(NAME, program.sha256)
    assert rig.client.installed(NAME) == one.sha256
    assert rig.client.try_out(NAME, one.sha256) == one.said
    with pytest.raises(LakeError):
        rig.client.try_out(NAME, two.sha256)


def test_a_program_put_there_by_hand_is_seen_and_kept(rig: Rig) -> None:
    one, two = rig.programs["one"], rig.programs["two"]
    rig.put_by_hand(one)
    assert rig.client.installed(NAME) == one.sha256
    rig.client.stage(NAME, two.source, two.sha256)
    rig.client.switch(NAME, two.sha256)
    assert rig.client.installed(NAME) == two.sha256
    assert rig.client.try_out(NAME, one.sha256) == one.said


@pytest.mark.parametrize("start", [None, "one", "two"])
def test_the_law_holds(rig: Rig, start: str | None) -> None:
    wanted = rig.programs["two"]
    resource = Binary(NAME, wanted.source, BinaryState(LATER))
    if start:
        rig.put_by_hand(rig.programs[start])
    assert ensure(resource, rig.client).plan.fields() == (set() if start == "two" else {"sha256"})
    todo, state = plan(resource, rig.client)
    assert (todo.changes, state) == ((), BinaryState(wanted.sha256))


@pytest.mark.parametrize(("name", "cause"), [("arm64", "Exec format error"), ("script", "not a Linux program"), ("enterprise", "Enterprise")])
def test_the_wrong_program_is_refused_and_the_right_one_stays(rig: Rig, name: str, cause: str) -> None:
    wrong, one = rig.programs[name], rig.programs["one"]
    rig.put_by_hand(one)
    with pytest.raises(Refused, match=cause):
        ensure(Binary(NAME, wrong.source, BinaryState(LATER)), rig.client)
    assert rig.client.installed(NAME) == one.sha256
    with pytest.raises(LakeError):
        rig.client.try_out(NAME, wrong.sha256)
