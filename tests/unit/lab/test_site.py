"""A lab's name and place, and what an ordinary user is told of a lab that is root's."""

from pathlib import Path

import pytest

from lab import cli, site
from lab.errors import LabError


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A registry that cannot be opened: a file is where its folder would be."""
    (tmp_path / "homelake").touch()
    monkeypatch.setattr(site, "REGISTRY", tmp_path / "homelake" / "labs.json")
    return tmp_path / "homelake"


def test_who_may_not_open_the_registry_sees_it_empty_and_claims_nothing(closed: Path) -> None:
    assert site.find_lab("demo").subnet == site.FIXED["demo"]
    assert site.find_lab("other").subnet >= 203
    for claim in (lambda: site.find_lab("other", claim=True), lambda: site.forget_lab(site.find_lab("other"))):
        with pytest.raises(LabError, match=f"Unable to write {closed}/labs.json: .*A lab needs root: run it with sudo"):
            claim()


def test_a_claimed_name_keeps_its_subnet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "REGISTRY", tmp_path / "run" / "labs.json")
    mine = site.find_lab("mine", claim=True)
    assert site.find_lab("mine") == mine
    assert site.find_lab("other", claim=True).subnet != mine.subnet
    site.forget_lab(mine)
    assert site.REGISTRY.read_text().count("subnet") == 1


@pytest.mark.parametrize("name", ["1abc", "ABC", "a-b", "", "abcdefghi"])
def test_a_name_that_is_none_is_told_with_its_form(name: str) -> None:
    with pytest.raises(LabError, match="it is not 1 to 8 lower-case letters and digits that begin with a letter"):
        site.find_lab(name)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "sttaus",
            "usage: ./lake lab [-h] COMMAND ...\nUnable to run ./lake lab: argument COMMAND: there is no 'sttaus'. Did you mean 'status'? See ./lake lab --help.",
        ),
        ("xyzzy", "there is no 'xyzzy'. Known are up, down, "),
        ("up --no-k", "Unable to run ./lake lab up: it has no --no-k. See ./lake lab up --help."),
        ("status now", "Unable to run ./lake lab status: it has no now. See ./lake lab status --help."),
        ("env --name", "Unable to run ./lake lab env: argument --name: expected one argument. See ./lake lab env --help."),
    ],
)
def test_a_wrong_word_is_told_with_the_commands_own_usage(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(words.split())
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("command", ["status", "env"])
def test_a_lab_that_is_roots_is_told_without_a_traceback(
    command: str, closed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(self: Path, **_: object) -> bool:
        raise PermissionError(13, "Permission denied", "/x/.lab/demo")

    monkeypatch.setattr(Path, "exists", refuse)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert cli.main([command, "--name", "demo"]) == 1
    assert capsys.readouterr().err == f"Unable to use the lab 'demo': /x/.lab/demo is closed to you. Run as root (sudo ./lake lab {command}).\n"
