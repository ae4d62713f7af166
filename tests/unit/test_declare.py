"""The stream's part of the shipped declaration."""

from pathlib import Path

from include.declare import unmarked
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
    assert spec.buckets[0] == shipped.buckets[0]
    assert unmarked(whole) == whole, "a second time changes nothing"


def test_only_marked_lines_change() -> None:
    assert unmarked("a: 1  #| no\n  #| b: 2\n#|\n# c\n  #|   d: 3\n") == "a: 1  #| no\n  b: 2\n\n# c\n    d: 3\n"
