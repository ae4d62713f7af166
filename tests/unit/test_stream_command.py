"""`./lake stream` on a whole site in memory: what it does, what it prints, and its exit codes."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from include.adapters import stream_run
from include.commands import stream as commands
from include.connections import from_environment
from include.lake.errors import LakeError
from include.lake.spec import LAKE_FILE, read_spec
from include.lake.stream import Halt
from include.lake.stream_log import QueryLog
from tests.fakes.declared import FILE, streaming
from tests.fakes.site import FakeSite
from tests.unit.test_cli import run

LAKE = streaming()
ENTRY = {"format": 1, "batch": 0, "committed": 1_000_000, "offsets": {"0": [0, 99]}, "counts": {"records": 100, "silver": 97, "dead": 3},
         "files": {"silver": [{"path": "silver/batch=0/date=2026-05-01/a.parquet", "bytes": 1}]}}  # fmt: skip
LOOK = {"format": 1, "batch": 0, "committed": 1_000_500, "offsets": {"0": [0, 59]}, "counts": {"records": 60, "alerts": 2},
        "files": {"alerts": [{"path": "alerts/batch=0/date=2026-05-01/b.parquet", "bytes": 1}]}}  # fmt: skip


class Simulator:
    """The simulator in the background: what was asked of it, and its process."""

    process: int | None = None
    asked: list[tuple[Any, ...]] = []

    def __init__(self, folder: Path) -> None:
        assert folder.name == "simulator"

    def pid(self) -> int | None:
        return self.process

    def start(self, kafka: Any, topic: str, partitions: int, rate: float | None, say: Any) -> int:
        type(self).process = 4711
        self.asked.append((kafka["bootstrap.servers"], topic, partitions, rate))
        return 4711

    def stop(self) -> bool:
        there, type(self).process = self.process is not None, None
        self.asked.append(("stop",))
        return there


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> FakeSite:
    site = FakeSite()
    site.connections = from_environment(  # type: ignore[attr-defined]
        {"AIRFLOW_CONN_KAFKA_DEFAULT": '{"conn_type": "kafka", "extra": {"bootstrap.servers": "k:9092"}}', "AIRFLOW_CONN_LAKE_S3": '{"conn_type": "aws"}'}
    )
    logs = {"bronze": QueryLog("bronze", None, []), "silver": QueryLog("silver", None, [ENTRY]), "gold": QueryLog("gold", None, [LOOK])}
    monkeypatch.setattr(commands, "StreamLog", lambda connection, path: SimpleNamespace(read=lambda query: logs[query]))
    monkeypatch.setattr(commands, "Clients", lambda *args: site)
    monkeypatch.setattr(commands, "command_line_connections", lambda: None)
    monkeypatch.setattr(commands, "Simulation", Simulator)
    monkeypatch.setattr(commands.time, "time", lambda: 1_002.5)
    monkeypatch.setattr(Simulator, "process", None)
    monkeypatch.setattr(Simulator, "asked", [])
    monkeypatch.setattr(commands, "ROOT", Path("/nosuch"))
    monkeypatch.delenv("HOMELAKE_SITE", raising=False)
    monkeypatch.setattr(stream_run, "examine", lambda *args: [])
    monkeypatch.setattr(stream_run, "see_start", lambda *args: None)
    monkeypatch.setenv("HOMELAKE_FILE", str(FILE))
    return site


def test_start_makes_topics_and_stream_once(site: FakeSite, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "stream", "start")
    assert code == 0
    assert "Changed: topic/payments, topic/payments.labels, topic/payments.progress, stream/payments." in out
    assert set(site.kafka.topics) == {t.name for t in LAKE.topics}
    assert site.streams.application
    assert Simulator.asked == []
    writes, locks = list(site.writes), list(site.locks)
    code, out, _ = run(capsys, "stream", "start", "--json")
    assert (code, json.loads(out)) == (0, {"changed": [], "simulator": None})
    assert (site.writes, site.locks) == (writes, locks), "nobody is locked out for nothing"


def test_payments_are_simulated_on_request_and_in_the_lab_only(site: FakeSite, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(capsys, "stream", "start", "--simulate", "--rate", "50")[0] == 0
    assert Simulator.asked == [("k:9092", "payments", 6, 50.0)]
    monkeypatch.setenv("HOMELAKE_SITE", "/etc/site.env")
    code, _, err = run(capsys, "stream", "start", "--simulate")
    assert (code, len(Simulator.asked)) == (1, 1)
    assert "a real site is in use" in err


def test_stop_ends_the_simulator_first_and_then_the_stream_at_a_boundary(site: FakeSite, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    run(capsys, "stream", "start", "--simulate")
    monkeypatch.setattr(site.streams, "stuck", "its driver still runs")
    assert run(capsys, "stream", "stop")[0] == 1
    assert Simulator.asked[-1] == ("stop",)
    assert site.streams.application
    monkeypatch.setattr(site.streams, "stuck", "")
    code, out, _ = run(capsys, "stream", "stop")
    assert code == 0
    assert "Ended at a batch boundary" in out
    assert "The DAG payments_stream" in out
    assert (site.streams.application, site.streams.cut) == (None, 0)
    assert json.loads(run(capsys, "stream", "stop", "--json")[1]) == {"simulator": False, "stream": False}


def test_status_says_how_far_it_is(site: FakeSite, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "stream", "status")
    assert (code, out.splitlines()[0]) == (2, "payments-stream: there is none; ./lake stream start begins it")
    run(capsys, "stream", "start", "--simulate")
    site.kafka.end_offsets = lambda name: {0: 110, 1: 5}  # type: ignore[method-assign]
    before = list(site.writes)
    code, out, _ = run(capsys, "stream", "status")
    assert code == 0
    assert out.splitlines() == [
        "payments-stream: RUNNING, as declared; driver payments-stream-driver, started 1 times, the last 0 s ago",
        "simulator: process 4711",
        "bronze: no batch yet",
        "silver: batch 0, committed 2.5 s ago; 100 records, 97 silver, 3 dead; 15 offsets behind Kafka",
        "gold: batch 0, committed 2.0 s ago; 60 records, 2 alerts; 55 offsets behind Kafka",
    ]
    assert site.writes == before
    assert site.streams.application
    site.streams.application.digest = "another"
    code, out, _ = run(capsys, "stream", "status", "--json")
    found = json.loads(out)
    assert (code, found["stream"]["differs"], found["queries"][1]["behind"]) == (2, ["digest"], 15)


def test_status_of_one_that_stands_still_says_when_it_is_tried_next(site: FakeSite, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "stream", "start")
    assert site.streams.application
    site.streams.application.phase, site.streams.halt = "halted", Halt("FAILING", "Kafka does not answer", 712, 98)
    code, out, _ = run(capsys, "stream", "status")
    assert code == 2
    assert out.splitlines()[1] == (
        "no driver is at work since 712 s: Kafka does not answer. The spark-operator tries again in 98 s; ./lake stream start does it now"
    )
    assert json.loads(run(capsys, "stream", "status", "--json")[1])["stream"]["halted"] == {
        "state": "FAILING", "error": "Kafka does not answer", "seconds": 712, "again": 98,
    }  # fmt: skip


def test_files_are_those_that_the_log_names(site: FakeSite, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "stream", "files", "silver")[:2] == (0, "s3://datalake/payments/silver/batch=0/date=2026-05-01/a.parquet\n")
    assert run(capsys, "stream", "files", "alerts")[:2] == (0, "s3://datalake/payments/alerts/batch=0/date=2026-05-01/b.parquet\n")
    assert run(capsys, "stream", "files", "bronze")[:2] == (0, "")
    assert json.loads(run(capsys, "stream", "files", "bronze", "--json")[1]) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("files",), "a table is named with `files`, and only there"),
        (("start", "silver"), "a table is named with `files`, and only there"),
        (("files", "gold"), "there is no such table. Tables are bronze, silver, dead, figures, alerts"),
        (("stop", "--simulate"), "--simulate and --rate are of `start`"),
        (("start", "--rate", "0"), "'0' is no number above 0"),
    ],
)
def test_what_cannot_be_done_is_told(site: FakeSite, words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code, _, err = run(capsys, "stream", *words)
    except SystemExit as end:
        code, err = end.code, capsys.readouterr().err  # type: ignore[assignment]
    assert code == 1
    assert said in err
    assert not site.writes


@pytest.mark.parametrize("what", ["start", "status", "stop"])
def test_a_declaration_without_payments_is_told(what: str, site: FakeSite, capsys: pytest.CaptureFixture[str]) -> None:
    shipped = "\n".join(line for line in LAKE_FILE.read_text().splitlines() if not line.lstrip().startswith("#|"))
    file = FILE.with_name("shipped.yaml")
    file.write_text(shipped)
    code, _, err = run(capsys, "stream", what, "--file", str(file))
    assert code == 1
    assert "the declaration has no payments. ./lake stream declare takes them" in err


def test_declare_takes_the_marks_away_once(site: FakeSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "lake.yaml"
    file.write_text(LAKE_FILE.read_text())
    code, out, _ = run(capsys, "stream", "declare", "--file", str(file), "--json")
    assert (code, json.loads(out)["changed"]) == (0, read_spec(LAKE_FILE).payments is None)
    assert read_spec(file).payments
    whole = file.read_text()
    assert json.loads(run(capsys, "stream", "declare", "--file", str(file), "--json")[1])["changed"] is False
    assert file.read_text() == whole
    assert [p.name for p in tmp_path.iterdir()] == ["lake.yaml"]
    bare = tmp_path / "bare.yaml"
    bare.write_text("\n".join(line for line in LAKE_FILE.read_text().splitlines() if not line.lstrip().startswith("#|")))
    assert "has no lines marked with #|" in run(capsys, "stream", "declare", "--file", str(bare))[2]


def test_one_that_runs_is_not_ended_for_one_that_its_checkpoint_refuses(
    site: FakeSite, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(capsys, "stream", "start")
    site.minio.make_bucket("checkpoints", object_lock=False)
    made_for = {"format": 1, "topic": "payments", "path": "s3a://datalake/payments/", "duplicates_within": 900}
    site.minio.texts["checkpoints", "payments/homelake.json"] = json.dumps(made_for)
    before = list(site.writes)
    declared = tmp_path / "lake.yaml"
    declared.write_text(
        FILE.read_text().replace("checkpoint: s3a://checkpoints/payments/", "checkpoint: s3a://checkpoints/payments/\n  duplicates_within: 20 m")
    )
    monkeypatch.setenv("HOMELAKE_FILE", str(declared))
    code, _, err = run(capsys, "stream", "start")
    assert code == 1
    assert "was made for duplicates_within 900 s (now 1200 s). Declare that again" in err
    assert site.writes == before
    site.minio.texts["checkpoints", "payments/homelake.json"] = json.dumps(made_for | {"duplicates_within": 1200, "topic_id": "of-before"})
    assert "was made for topic_id 'of-before' (now " in run(capsys, "stream", "start")[2]
    assert site.writes == before


def test_a_stream_that_does_not_start_is_an_error(site: FakeSite, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: Any) -> None:
        raise LakeError("run", "stream/payments", "its checkpoint was made for another topic")

    monkeypatch.setattr(stream_run, "see_start", fails)
    code, _, err = run(capsys, "stream", "start", "--simulate")
    assert code == 1
    assert "its checkpoint was made for another topic" in err
    assert Simulator.asked == [], "nothing is sent to a stream that does not run"
