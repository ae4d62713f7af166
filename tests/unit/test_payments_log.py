"""The stream's log without Spark: what a batch commits, who is refused, and what a run after a kill does with what is there."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "jobs"))
from payments_log import Query, agree
from payments_store import Unfit, entry

NAME = "bronze"


class Texts:
    """A store of texts: a name is written once, as S3 does with If-None-Match."""

    def __init__(self) -> None:
        self.texts = dict[str, str]()

    def read(self, name: str) -> str | None:
        return self.texts.get(name)

    def create(self, name: str, text: str) -> bool:
        return self.texts.setdefault(name, text) is text

    def newest(self, folder: str) -> int | None:
        names = [n.removeprefix(f"{folder}/").removesuffix(".json") for n in self.texts if n.startswith(f"{folder}/")]
        return max((int(n) for n in names if n.isdigit()), default=None)


class Rows:
    """A batch's rows, which say when they were only read through."""

    def __init__(self) -> None:
        self.read_through = 0

    @property
    def write(self) -> Any:
        def save() -> None:
            self.read_through += 1

        return SimpleNamespace(format=lambda name: SimpleNamespace(mode=lambda mode: SimpleNamespace(save=save)))


class Run:
    """One driver of the stream, on a lake and a checkpoint that others may share."""

    def __init__(self, lake: Texts, checkpoint: Texts) -> None:
        self.lake, self.checkpoint, self.wrote, self.rows = lake, checkpoint, list[int](), Rows()
        self.query = Query(NAME, lake, checkpoint, 60)
        self.query.begin()
        self.batch = self.query.run("payments", self.write)

    def write(self, rows: Any, number: int, done: dict[str, Any]) -> None:
        self.wrote.append(number)
        done["files"]["bronze"] = [{"path": f"bronze/batch={number}/x.parquet", "bytes": 1}]
        done["counts"] = {"records": 10}
        self.query.high_water = 1000 * (number + 1)

    def offsets(self, number: int, ends: dict[str, int]) -> None:
        """What Spark writes down before a batch begins."""
        self.checkpoint.texts[f"{NAME}/offsets/{number}"] = "v1\n{}\n" + json.dumps({"payments": ends})

    def take(self, number: int, ends: dict[str, int], *, known_done: bool = True) -> None:
        """A batch, as Spark runs it; `known_done`: Spark gets to write down that it is done."""
        self.offsets(number, ends)
        self.batch(self.rows, number)
        if known_done:
            self.checkpoint.texts[f"{NAME}/commits/{number}"] = ""


@pytest.fixture
def places() -> tuple[Texts, Texts]:
    lake, checkpoint = Texts(), Texts()
    checkpoint.texts[f"{NAME}/sources/0/0"] = 'v1\n{"payments": {"0": 5, "1": 0}}'
    return lake, checkpoint


def committed(lake: Texts, number: int) -> Any:
    return json.loads(lake.texts[entry(NAME, number)])


def test_a_batch_is_one_line_with_its_offsets_files_and_counts(places: tuple[Texts, Texts]) -> None:
    run = Run(*places)
    run.take(0, {"0": 9, "1": 0})
    run.take(1, {"0": 12, "1": 3})
    first, second = committed(places[0], 0), committed(places[0], 1)
    assert first["offsets"] == {"0": [5, 8]}, "a partition of which nothing came is not named"
    assert second["offsets"] == {"0": [9, 11], "1": [0, 2]}
    assert (second["batch"], second["query"], second["counts"], second["high_water"]) == (1, NAME, {"records": 10}, 2000)
    assert second["files"] == {"bronze": [{"path": "bronze/batch=1/x.parquet", "bytes": 1}]}


def test_of_two_drivers_the_second_is_refused_and_the_first_ones_line_stays(places: tuple[Texts, Texts]) -> None:
    first, second = Run(*places), Run(*places)
    before = dict[str, str]()

    def overtaken(rows: Any, number: int, done: dict[str, Any]) -> None:
        first.take(0, {"0": 9, "1": 0})
        before.update(places[0].texts)
        second.write(rows, number, done)

    second.batch = second.query.run("payments", overtaken)
    with pytest.raises(Unfit, match="another driver has written batch 0 of bronze meanwhile"):
        second.take(0, {"0": 9, "1": 0}, known_done=False)
    assert places[0].texts == before


def test_killed_before_its_line_a_batch_is_written_again_and_after_it_only_its_state_is_made(places: tuple[Texts, Texts]) -> None:
    first = Run(*places)
    first.take(0, {"0": 9, "1": 0})
    first.offsets(1, {"0": 12, "1": 0})  # killed before the line
    second = Run(*places)
    second.take(1, {"0": 12, "1": 0}, known_done=False)  # killed after it
    assert second.wrote == [1]
    before = dict(places[0].texts)
    third = Run(*places)
    third.take(1, {"0": 12, "1": 0})
    assert (third.wrote, third.rows.read_through) == ([], 1)
    assert third.query.high_water == 2000
    assert places[0].texts == before
    third.take(2, {"0": 13, "1": 0})
    assert third.wrote == [2]


def test_a_batch_that_is_there_with_other_offsets_is_refused(places: tuple[Texts, Texts]) -> None:
    Run(*places).take(0, {"0": 9, "1": 0}, known_done=False)
    with pytest.raises(Unfit, match="batch 0 of bronze is in the lake's log with other offsets"):
        Run(*places).take(0, {"0": 10, "1": 0})


@pytest.mark.parametrize(
    ("lake_has", "checkpoint_has", "said"),
    [
        (3, None, "its checkpoint has no batch, and the lake's log of bronze goes to 3"),
        (None, 3, "its checkpoint has batches up to 3, and the lake's log of bronze is empty"),
        (5, 3, "its checkpoint has batches up to 3, and the lake's log of bronze goes to 5"),
        (2, 3, "its checkpoint has batches up to 3, and the lake's log of bronze goes to 2"),
    ],
)
def test_a_checkpoint_and_a_log_that_are_not_each_others_are_told(
    places: tuple[Texts, Texts], lake_has: int | None, checkpoint_has: int | None, said: str
) -> None:
    lake, checkpoint = places
    if lake_has is not None:
        lake.texts[entry(NAME, lake_has)] = json.dumps({"high_water": 1})
    if checkpoint_has is not None:
        checkpoint.texts[f"{NAME}/commits/{checkpoint_has}"] = ""
    with pytest.raises(Unfit, match=said):
        Run(lake, checkpoint)


def test_what_is_too_old_for_a_batch_is_what_spark_wrote_down_for_the_batch_before(places: tuple[Texts, Texts]) -> None:
    run = Run(*places)
    for number, until in ((0, 0), (1, 5000), (2, 7000)):
        places[1].texts[f"{NAME}/offsets/{number}"] = f'v1\n{{"batchWatermarkMs":{until},"batchTimestampMs":9}}\n{{"payments":{{}}}}'
    assert [run.query.remembered(n) for n in (0, 1, 2, 3)] == [0, 0, 5000, 7000]


def test_what_was_put_together_counts_as_committed(places: tuple[Texts, Texts]) -> None:
    lake, checkpoint = places
    checkpoint.texts[f"{NAME}/commits/7"] = ""
    lake.texts[f"_log/{NAME}/compacted.json"] = json.dumps({"through": 7, "high_water": 4000})
    assert Run(lake, checkpoint).query.high_water == 4000


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"topic": "others"}, "topic 'payments'"),
        ({"path": "s3a://lake/others/"}, "path 's3a://lake/payments/'"),
        ({"duplicates_within": 60}, "duplicates_within 900"),
    ],
)
def test_a_checkpoint_is_held_to_what_it_was_made_for(other: dict[str, Any], said: str) -> None:
    declared = {"topic": "payments", "path": "s3a://lake/payments/", "checkpoint": "s3a://checkpoints/payments/", "duplicates_within": 900}
    checkpoint = Texts()
    agree(checkpoint, SimpleNamespace(**declared))
    agree(checkpoint, SimpleNamespace(**declared))
    with pytest.raises(Unfit, match=said):
        agree(checkpoint, SimpleNamespace(**declared | other))


def test_a_checkpoint_is_held_to_kafkas_id_of_the_topic_where_both_know_it() -> None:
    declared = SimpleNamespace(topic="payments", path="s3a://lake/payments/", checkpoint="s3a://checkpoints/payments/", duplicates_within=900)
    old, new = Texts(), Texts()
    agree(old, declared)
    agree(old, declared, "a")
    agree(new, declared, "a")
    agree(new, declared)
    with pytest.raises(Unfit, match="topic_id 'a' \\(now 'b'\\)"):
        agree(new, declared, "b")
