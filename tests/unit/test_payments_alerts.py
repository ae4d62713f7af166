"""The looks for fraud without Spark: where they go on, what a look takes, and what one that fails does. What the rules find: tests/e2e/test_fraud.py."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "jobs"))
import payments_alerts
from payments_alerts import Alerts
from payments_store import Unfit, looked_through


class Memory:
    """Texts by their name."""

    def __init__(self, **texts: Any) -> None:
        self.texts = {name: json.dumps(value) for name, value in texts.items()}

    def read(self, name: str) -> str | None:
        return self.texts.get(name)

    def create(self, name: str, text: str) -> bool:
        return self.texts.setdefault(name, text) is text

    def newest(self, folder: str) -> int | None:
        return max((int(n[-25:-5]) for n in self.texts if n.startswith(f"{folder}/") and n[-25:-5].isdigit()), default=None)

    def listing(self, folder: str) -> list[tuple[str, int, int]]:
        return [(n, 1, 0) for n in sorted(self.texts) if n.startswith(folder)]

    def remove(self, folder: str) -> None:
        self.texts = {n: t for n, t in self.texts.items() if not n.startswith(f"{folder}/")}


class Looks(Alerts):  # type: ignore[misc]
    """Without Spark: a look only says what it takes."""

    def __init__(self, lake: Memory, checkpoint: Memory | None = None, every: float = 3600) -> None:
        super().__init__(None, lake, checkpoint or Memory(), None, every)
        self.took: list[list[int]] = []
        self.error: Exception | None = None

    def catch_up(self) -> None:
        while batches := self._committed():
            self._look(batches)

    def _look(self, batches: list[dict[str, Any]]) -> None:
        if self.error:
            raise self.error
        self.took.append([e["batch"] for e in batches])
        state = f"gold/{self._next:020d}-aaaaaaaa/"
        self._checkpoint.texts[f"{state}part-0.parquet"] = ""
        self._commit(batches, {"files": {}, "counts": {}, "high_water": 1, "state": state})


def entry(query: str, n: int) -> str:
    return f"_log/{query}/{n:020d}.json"


def silver(*numbers: int, events: int = 10) -> Memory:
    batches = {entry("silver", n): {"batch": n, "counts": {"silver": events, "records": events}, "offsets": {"0": [n, n], str(n): [n, n]}} for n in numbers}
    return Memory(**batches)


def begun(lake: Memory, checkpoint: Memory | None = None) -> Looks:
    looks = Looks(lake, checkpoint)
    looks.begin()
    return looks


def test_a_look_takes_what_no_look_has_taken() -> None:
    lake, checkpoint = silver(0, 1, 2), Memory()
    assert looked_through(lake) is None
    looks = begun(lake, checkpoint)
    looks.end()
    lake.texts |= silver(3).texts
    again = begun(lake, checkpoint)
    again.end()
    assert (looks.took, again.took) == ([[0, 1, 2]], [[3]])
    assert looked_through(lake) == 3
    assert [json.loads(lake.texts[entry("gold", n)])["offsets"] for n in (0, 1)] == [{"0": [0, 2], "1": [1, 1], "2": [2, 2]}, {"0": [3, 3], "3": [3, 3]}]
    assert list(checkpoint.texts) == [f"gold/{1:020d}-aaaaaaaa/part-0.parquet"], "what the looks before remembered is gone"


def test_a_stream_from_before_there_were_alerts_begins_behind_what_was_put_together() -> None:
    lake = silver(6, 7, 8)
    lake.texts["_log/silver/compacted.json"] = json.dumps({"through": 6})
    looks = begun(lake)
    looks.end()
    assert looks.took == [[7, 8]]


def test_many_events_take_several_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payments_alerts, "MOST", 25)
    looks = begun(silver(*range(7)))
    looks.end()
    assert looks.took == [[0, 1, 2], [3, 4, 5], [6]]


def test_without_its_memory_it_does_not_begin() -> None:
    lake = silver(0)
    begun(lake).end()
    with pytest.raises(Unfit, match=r"what the alerts remember, gold/0{20}-aaaaaaaa/, is not in its checkpoint\. Declare the checkpoint that wrote this path"):
        begun(lake)


def test_of_two_drivers_the_second_is_told() -> None:
    lake, checkpoint = silver(0), Memory()
    first, second = begun(lake, checkpoint), begun(lake, checkpoint)
    first.end()
    with pytest.raises(Unfit, match="another driver has written look 0 of gold meanwhile"):
        second.end()


def test_a_look_that_fails_is_told_at_a_later_turn_and_is_due_again() -> None:
    looks = Looks(silver(0), every=0)
    looks.begin()
    looks.error = OSError("the lake is away")
    assert looks.turn() is None
    deadline = time.monotonic() + 10
    while (error := looks.turn()) is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert error is looks.error
    looks.error = None
    try:
        looks.end()
    except OSError:  # the look that the last turn began
        looks.catch_up()
    assert looks.took == [[0]]


def test_between_two_looks_there_is_time() -> None:
    looks = begun(silver(0))
    looks.turn()
    while not looks._running.done():
        time.sleep(0.01)
    looks._lake.texts |= silver(1).texts
    assert [looks.turn() for _ in range(3)] == [None] * 3
    assert looks.took == [[0]]
    looks.end()
    assert looks.took == [[0], [1]]
