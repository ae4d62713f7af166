"""A YAML file as a declaration is read from: what YAML allows and a declaration does not, told by its line."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lake.errors import SpecError
from include.lake.spec import LAKE_FILE, read_spec
from include.lake.units import Size
from tests.unit.lake.test_spec import problems_of


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("vm: [\n", "line 2: did not find expected node content."),
        ("vm:\n\tvmid: 100\n", "line 2: found character that cannot start any token."),
        ("? [a]\n: b\n", "line 1: found unhashable key."),
        ("name: 2026-13-45\n", "line 1: '2026-13-45' cannot be read; put it in quotes."),
        ("name: 0b_\n", "line 1: '0b_' cannot be read; put it in quotes."),
        ("x: !!python/object/apply:os.system [id]\n", "line 1: could not determine a constructor for the tag 'tag:yaml.org,2002:python/object/apply:os.system'."),
        ("", "the file holds no keys; start from the example in docs/reference/lake-yaml.md."),
        ("- vm\n", "the file holds no keys; start from the example in docs/reference/lake-yaml.md."),
        ("# only a comment\n", "the file holds no keys; start from the example in docs/reference/lake-yaml.md."),
        (b"name: \xff\n", "it is not UTF-8 text."),
        ("name: \x01\n", "it is not YAML."),
    ],
)  # fmt: skip
def test_a_file_that_is_no_declaration_is_told_by_its_line(tmp_path: Path, content: str | bytes, problem: str) -> None:
    (said,) = problems_of(tmp_path, content)
    assert f"{said.rstrip('.')}." == problem


def test_keys_given_twice_are_told_with_all_else_that_is_wrong(tmp_path: Path) -> None:
    text = LAKE_FILE.read_text().replace("  vmid: 100\n", "  vmid: 100\n  vmid: abc\n") + "name: other\nnmae: x\n"
    said = problems_of(tmp_path, text)
    assert sorted(s.split(": ", 1)[1] for s in said if s.startswith("line ")) == [
        f"the key {k!r} is given twice. Leave one of them out." for k in ("name", "vmid")
    ]
    assert [s.split(":")[0] for s in said if not s.startswith("line ")] == ["vm.vmid", "nmae"]
    (only,) = problems_of(tmp_path, LAKE_FILE.read_text() + "name: other\n")
    assert only.endswith("the key 'name' is given twice. Leave one of them out.")


def test_a_file_that_is_not_there_or_no_file(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"none\.yaml: 1 problem\n  No such file or directory\.$"):
        read_spec(tmp_path / "none.yaml")
    with pytest.raises(SpecError, match="Is a directory"):
        read_spec(tmp_path)


@given(st.text(alphabet=st.sampled_from("abn: -[]{}\n\t'\"&*!?<>|#%@0_.,~=\x00é"), max_size=60) | st.binary(max_size=20))
def test_no_text_ends_in_anything_but_a_declaration_error(tmp_path_factory: pytest.TempPathFactory, content: str | bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SpecError):
        read_spec(file)


def test_yaml_anchors_and_merge_keys_may_be_used(tmp_path: Path) -> None:
    file = tmp_path / "lake.yaml"
    text = (
        LAKE_FILE.read_text()
        .replace("  - name: datalake\n", "  - &common\n    name: datalake\n")
        .replace("\nusers:", "  - {<<: *common, name: archive}\n\nusers:")
    )
    file.write_text(text)
    assert [(b.name, b.quota) for b in read_spec(file).buckets] == [("datalake", Size.parse("100 GiB")), ("archive", Size.parse("100 GiB"))]
