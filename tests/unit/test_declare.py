"""The stream's part of the shipped declaration."""

import os
from pathlib import Path

import pytest

from include.declare import declare_stream, unmarked
from include.lake.errors import LakeError
from include.lake.spec import LAKE_FILE, read_spec


def test_the_shipped_declaration_without_marks_declares_the_stream(tmp_path: Path) -> None:
    whole = unmarked(LAKE_FILE.read_text())
    file = tmp_path / "lake.yaml"
    file.write_text(whole)
    spec, shipped = read_spec(file), read_spec(LAKE_FILE)
    assert (shipped.kafka, shipped.payments) == (None, None)
    assert spec.payments and spec.kafka
    assert [t.name for t in spec.kafka.topics] == ["payments", "payments.labels", "payments.progress"]
    assert [b.name for b in spec.buckets] == ["datalake", "checkpoints"]
    assert spec.users[0].buckets == ("datalake", "checkpoints")
    *rules, replaced = spec.buckets[0].lifecycle
    assert spec.buckets[0].model_copy(update={"lifecycle": tuple(rules)}) == shipped.buckets[0]
    assert spec.payments.path == f"s3a://datalake/{replaced.prefix}", "what compaction replaces goes soon"
    assert unmarked(whole) == whole, "a second time changes nothing"


def test_only_marked_lines_change() -> None:
    assert unmarked("a: 1  #| no\n  #| b: 2\n#|\n# c\n  #|   d: 3\n") == "a: 1  #| no\n  b: 2\n\n# c\n    d: 3\n"
    assert unmarked("a\r\n  #| b: 2\r\n#|\r\n\x0bc\u2028#| d") == "a\r\n  b: 2\r\n\r\n\x0bc\u2028#| d", "the ends of lines stay, and only they end one"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The shipped declaration, with a neighbour whose name only differs in its end."""
    (tmp_path / "n.new").write_text("mine")
    file = tmp_path / "n.yaml"
    file.write_bytes(LAKE_FILE.read_bytes().replace(b"\n", b"\r\n"))
    file.chmod(0o640)
    return file


def test_nothing_else_is_touched(file: Path) -> None:
    before, link = file.read_bytes(), file.with_name("link.yaml")
    link.symlink_to(file.name)
    assert (declare_stream(link), declare_stream(link)) == (True, False)
    assert (link.is_symlink(), file.stat().st_mode & 0o777) == (True, 0o640)
    assert (file.parent / "n.new").read_text() == "mine"
    assert sorted(p.name for p in file.parent.iterdir()) == ["link.yaml", "n.new", "n.yaml"]
    assert file.read_bytes().count(b"\r\n") == before.count(b"\r\n") == file.read_bytes().count(b"\n")
    assert read_spec(file).payments


def test_what_would_be_wrong_is_told_of_the_file_itself_and_changes_nothing(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b"#| payments:", b"#| paiments:").replace(b"#|payments:", b"#|paiments:"))
    before = file.read_bytes()
    assert b"paiments" in before
    with pytest.raises(LakeError, match=rf"Unable to read {file}: .*problem") as caught:
        declare_stream(file)
    assert "paiments: unknown key" in str(caught.value)
    assert file.read_bytes() == before
    assert sorted(p.name for p in file.parent.iterdir()) == ["n.new", "n.yaml"]


def test_what_cannot_be_read_or_written_is_told(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = file.with_name("binary.yaml")
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LakeError, match="it is not UTF-8 text"):
        declare_stream(binary)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    before = file.read_bytes()
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(LakeError, match=rf"Unable to declare the stream: {file} cannot be changed \(Permission denied\)"):
        declare_stream(file)
    assert file.read_bytes() == before
    assert not list(file.parent.glob(".n.yaml*"))
