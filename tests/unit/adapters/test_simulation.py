"""The simulator in the background, with a stand-in for its program; what the program itself does is tried in tests/unit/simulator."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.adapters import simulation
from include.adapters.simulation import Simulation
from include.lake.errors import LakeError
from simulator import cli

KAFKA = {"bootstrap.servers": "127.0.0.1:9092"}
PROGRAM = """
import json, pathlib, signal, sys, time
pathlib.Path("words.json").write_text(json.dumps(sys.argv[1:]))
signal.signal(signal.SIGTERM, lambda *a: sys.exit(143))
{body}
"""
RUNS = "while True: time.sleep(0.01)"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(simulation, "SETTLED", 0.5)
    yield tmp_path
    if pid := simulator(tmp_path).pid():
        os.kill(pid, 9)


def simulator(place: Path, body: str = RUNS) -> Simulation:
    program = place / "program.py"
    program.write_text(PROGRAM.format(body=body))
    return Simulation(place / "notes", (sys.executable, str(program)), place)


def words(place: Path) -> list[str]:
    found: list[str] = json.loads((place / "words.json").read_text())
    return found


def test_it_runs_on_is_found_by_another_and_ends_when_asked(place: Path) -> None:
    said: list[str] = []
    pid = simulator(place).start(KAFKA, "payments", 6, None, said.append)
    assert words(place) == ["--kafka", "127.0.0.1:9092", "--topic", "payments", "--partitions", "6", "--start", "now", "--resume",
                            "--state", str(place / "notes" / "state"), "--quiet", "--rate", "200", "--keep-options"]  # fmt: skip
    assert cli.parser().parse_args(words(place)).rate == 200
    again = simulator(place)
    assert again.pid() == pid
    assert again.start(KAFKA, "payments", 6, None, said.append) == pid
    assert said == [f"the simulator runs already (process {pid})"]
    assert again.stop() is True
    assert again.pid() is None
    assert again.stop() is False


@pytest.mark.parametrize("state", [True, False])
def test_one_that_goes_on_keeps_its_rate_unless_another_is_given(state: bool, place: Path) -> None:
    """Whether there is a stream is known by Kafka alone: the state comes later, may be lost, and outlives a lab that was made anew."""
    (place / "notes").mkdir()
    if state:
        (place / "notes" / "state").write_text("{}")
    for rate, given in ((None, ["--rate", "200", "--keep-options"]), (1234567.5, ["--rate", "1234567.5"])):
        simulator(place).start(KAFKA, "payments", 6, rate, print)
        assert words(place)[words(place).index("--quiet") + 1 :] == given
        simulator(place).stop()


def test_a_log_in_is_no_argument_and_only_the_owner_reads_it(place: Path) -> None:
    simulator(place).start(KAFKA | {"sasl.password": "hunter2"}, "payments", 6, None, print)
    file = Path(words(place)[-1])
    assert file.read_text() == "sasl.password=hunter2\n"
    assert file.stat().st_mode & 0o077 == 0
    assert "hunter2" not in " ".join(words(place))


def test_one_that_ends_at_once_is_told_with_its_last_words(place: Path) -> None:
    with pytest.raises(LakeError, match=r"Unable to start the simulator: Unable to use --rate: the stream there has another\. Its log is .*simulator\.log"):
        simulator(place, "print('first'); print('Unable to use --rate: the stream there has another.', file=sys.stderr); sys.exit(1)").start(KAFKA, "p", 1, 1, print)  # fmt: skip
    assert simulator(place).pid() is None


def test_a_process_that_only_has_its_number_is_left_alone(place: Path) -> None:
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])
    try:
        (place / "notes").mkdir()
        (place / "notes" / "simulator.json").write_text(json.dumps({"pid": other.pid, "began": "1"}))
        assert simulator(place).pid() is None
        assert simulator(place).stop() is False
        time.sleep(0.05)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize("note", ["", "[]", "{}", '{"pid": "x"}', '{"pid": 999999999, "began": null}'])
def test_a_note_that_says_nothing_is_none(note: str, place: Path) -> None:
    (place / "notes").mkdir()
    (place / "notes" / "simulator.json").write_text(note)
    assert simulator(place).pid() is None


def test_one_that_does_not_end_is_told(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "STOP_SECONDS", 0.2)
    pid = simulator(place, "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + RUNS).start(KAFKA, "p", 1, 1, print)
    with pytest.raises(LakeError, match=rf"Unable to stop the simulator \(process {pid}\): it still runs after 0\.2 s"):
        simulator(place, RUNS).stop()
