"""The contract of BinaryClient, with small programs under a name of their own."""

import hashlib
import tarfile
from pathlib import Path

import pytest

from include.lake.errors import LakeError, Refused
from include.lake.resource import LATER, ensure
from include.lake.resources.binary import Binary, BinaryState, Source
from lab.k8s.oci import Image, write_archive
from tests.contract.programs import CLEAR, Program, Programs, fake_guest, invented
from tests.contract.real import NAME

KEPT = f"{NAME}-kept"
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

    def forget(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        """As another machine, which has built nothing."""
        self.client.built.clear()

    def unnote(self, program: Program) -> None:
        """Remove the note of what a program was made from."""
        del self.client.origins[program.sha256]

    def before(self) -> str:
        """The SHA-256 of the program that the link `previous` leads to."""
        return self.client.previous.get(NAME, "")

    def put_by_hand(self, program: Program) -> None:
        """Put a program in place past Homelake."""
        self.client.links[NAME], self.client.by_hand[program.sha256] = program.sha256, program.said


class Real:
    """The lab's VM."""

    needs = "programs"

    def __init__(self, programs: Programs) -> None:
        self.root, self.client, self.programs = programs.parts.root, programs.parts.clients.host, programs.by_name
        self.client.stage(KEPT, self.programs["one"].source, self.programs["one"].sha256)  # sent once, to be put in place by hand

    def clear(self) -> None:
        self.root(CLEAR)

    def close(self) -> None:
        self.root(f"rm -rf /usr/local/lib/{KEPT}")

    def in_an_image(self, program: Program, folder: Path) -> Source:
        with tarfile.open(folder / "layer.tar", "w") as tar:
            tar.add(str(program.source.file), "usr/bin/minio")
        write_archive(folder / "image.tar", [Image("minio:contract", (folder / "layer.tar",))])
        return Source(image=f"oci-archive:{folder / 'image.tar'}")

    def half_stage(self, program: Program) -> None:
        self.root(f"mkdir -p /usr/local/lib/{NAME}/{program.sha256}; echo half >/usr/local/lib/{NAME}/{program.sha256}/.{NAME}.new")

    def forget(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        monkeypatch.setattr("include.adapters.binaries.CACHE", folder / "another")

    def unnote(self, program: Program) -> None:
        self.root(f"rm /usr/local/lib/{NAME}/{program.sha256}/source")

    def before(self) -> str:
        return self.root(f"sha256sum /usr/local/lib/{NAME}/previous 2>/dev/null || true")[:64]

    def put_by_hand(self, program: Program) -> None:
        self.root(f"cp /usr/local/lib/{KEPT}/{program.sha256}/{KEPT} /usr/local/bin/{NAME}")


Rig = Fake | Real


def resource(program: Program) -> Binary:
    return Binary(NAME, program.source, BinaryState(LATER))


def test_a_source_is_known_by_its_content(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.adapters.binaries.CACHE", tmp_path)
    machine, one, two = rig.client.machine(), rig.programs["one"], rig.programs["two"]
    assert machine == "x86_64"
    for program in (one, rig.programs["script"]):
        assert rig.client.digest(program.source, machine) == program.sha256
        sha256, head = rig.client.fetch(program.source, machine)
        assert (sha256, head[:20]) == (program.sha256, program.head[:20])
    for call in (lambda: rig.client.digest(ABSENT, machine), lambda: rig.client.fetch(ABSENT, machine), lambda: rig.client.stage(NAME, ABSENT, "0" * 64)):
        with pytest.raises(LakeError):
            call()
    image = rig.in_an_image(two, tmp_path)
    assert rig.client.digest(image, machine) is None, "nobody knows it before it is taken out"
    assert rig.client.fetch(image, machine)[0] == rig.client.digest(image, machine) == two.sha256
    declared = hashlib.sha256(b"x").hexdigest()
    assert rig.client.digest(Source(url="http://127.0.0.1:1/minio", sha256=declared), machine) == declared


def test_from_nothing_to_the_program(rig: Rig) -> None:
    one, two = rig.programs["one"], rig.programs["two"]
    with pytest.raises(LakeError):
        rig.client.stage(NAME, one.source, two.sha256)  # what arrives is not what was expected
    rig.half_stage(one)
    for program in (one, two):
        with pytest.raises(LakeError, match="never staged"):
            rig.client.try_out(NAME, program.sha256)
    with pytest.raises(LakeError, match="never staged"):
        rig.client.switch(NAME, one.sha256)
    assert rig.client.installed(NAME) is None
    assert ensure(resource(one), rig.client).plan.fields() == {"sha256"}
    assert not ensure(resource(one), rig.client).plan
    # Another beside it, which is then thought better of.
    for _ in range(2):
        rig.client.stage(NAME, two.source, two.sha256)
    assert rig.client.try_out(NAME, two.sha256) == two.said
    assert rig.client.installed(NAME) == one.sha256, "staging puts nothing in place"
    for program in (one, two, two):  # what is in place stays; nothing to discard is no error
        rig.client.discard(NAME, program.sha256)
    with pytest.raises(LakeError, match="never staged"):
        rig.client.switch(NAME, two.sha256)
    assert rig.client.installed(NAME) == one.sha256
    assert rig.client.try_out(NAME, one.sha256) == one.said


def test_where_the_build_is_not_kept_the_program_is_known_by_its_source(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on another bastion, or in a pod: what is in place is right, and nothing is built anew."""
    monkeypatch.setattr("include.adapters.binaries.CACHE", tmp_path / "cache")
    one, two = rig.programs["one"], rig.programs["two"]
    source, other = rig.in_an_image(one, tmp_path), Source(go="example.org/another@v1.0.0")
    declared = Binary(NAME, source, BinaryState(LATER))
    assert rig.client.made_from(NAME, source) is None
    assert ensure(declared, rig.client).applied
    rig.forget(monkeypatch, tmp_path)
    assert rig.client.digest(source, rig.client.machine()) is None
    assert rig.client.made_from(NAME, source) == one.sha256
    assert not ensure(declared, rig.client).plan
    assert rig.client.made_from(NAME, other) is None
    rig.client.stage(NAME, one.source, one.sha256)  # a file is read anew each time: nothing is noted of it
    assert rig.client.made_from(NAME, source) == one.sha256
    rig.unnote(one)  # as a lake that was made earlier has it
    assert rig.client.made_from(NAME, source) is None
    rig.client.fetch(source, rig.client.machine())
    rig.client.stage(NAME, source, one.sha256)
    assert rig.client.made_from(NAME, source) == one.sha256, "noted, though the program was there"
    ensure(resource(two), rig.client)
    assert rig.client.made_from(NAME, source) is None, "it is not in place"
    rig.clear()
    rig.put_by_hand(one)
    assert rig.client.made_from(NAME, source) is None


def test_a_program_put_there_by_hand_is_seen_and_kept(rig: Rig) -> None:
    one, two = rig.programs["one"], rig.programs["two"]
    rig.put_by_hand(one)
    assert rig.client.installed(NAME) == one.sha256
    assert ensure(resource(two), rig.client).plan.fields() == {"sha256"}
    assert rig.client.try_out(NAME, one.sha256) == one.said
    assert rig.before() == one.sha256
    for _ in range(2):  # and back
        rig.client.switch(NAME, one.sha256)
    assert rig.client.installed(NAME) == one.sha256
    assert rig.before() == two.sha256


def test_the_wrong_program_is_refused_and_the_right_one_stays(rig: Rig) -> None:
    one = rig.programs["one"]
    rig.put_by_hand(one)
    for name, cause in (("arm64", "Exec format error"), ("script", "not a Linux program"), ("enterprise", "Enterprise")):
        with pytest.raises(Refused, match=cause):
            ensure(resource(rig.programs[name]), rig.client)
    assert rig.client.installed(NAME) == one.sha256
    with pytest.raises(LakeError, match="never staged"):
        rig.client.try_out(NAME, rig.programs["enterprise"].sha256)


def test_programs_go_unless_one_was_put_there_by_hand(rig: Rig) -> None:
    one, two, gone = rig.programs["one"], rig.programs["two"], Binary(NAME, rig.programs["one"].source, None)
    assert not ensure(gone, rig.client).plan
    rig.put_by_hand(one)
    assert not rig.client.made_program(NAME)
    with pytest.raises(Refused, match="put there by hand"):
        ensure(gone, rig.client)
    ensure(resource(two), rig.client)
    assert rig.client.made_program(NAME)
    assert ensure(gone, rig.client).applied
    assert rig.client.installed(NAME) is None
    with pytest.raises(LakeError, match="never staged"):
        rig.client.try_out(NAME, one.sha256)
    rig.client.remove_program(NAME)  # once more: no error
