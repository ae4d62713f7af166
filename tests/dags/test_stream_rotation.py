"""A rotation restarts the declared stream: by the DAG and by the command."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowRescheduleException

from include.adapters import stream_run
from include.commands import rotate as commands
from include.lake.errors import LakeError
from include.lake.resource import ensure, plan
from include.lake.rotation import PodUse
from include.lake.stream import NAME
from tests.dags.conftest import STREAMING
from tests.dags.runs import TaskInstance
from tests.fakes.base import Killed, writing
from tests.fakes.declared import FILE, streaming
from tests.fakes.site import FakeSite
from tests.fakes.stream import FakeStreams
from tests.unit.test_cli import run as command

LAKE = streaming()
assert LAKE.stream
STREAM, PAIR = LAKE.stream, LAKE.key_pair
SECRET = (PAIR.namespace, PAIR.name)
DAG = STREAMING.bag.dags["lake_rotate_keys"]


class Cluster(FakeStreams):
    """A stream whose driver takes the pair that the secret holds when it starts."""

    def __init__(self, site: FakeSite) -> None:
        super().__init__()
        self.site = site

    @writing
    def submit_stream(self, body: Mapping[str, Any], files: Mapping[str, str]) -> None:
        super()._begin(body, "running")
        others = [p for p in self.site.keypair.pods.get(SECRET, ()) if p.application != NAME]
        self.site.keypair.pods[SECRET] = [*others, PodUse(f"{NAME}-driver", self.site.keypair.now, NAME, stream=True)]


@pytest.fixture
def lake(site: FakeSite, monkeypatch: pytest.MonkeyPatch) -> FakeSite:
    """A converged lake whose stream runs."""
    for resource in LAKE.resources():
        ensure(resource, site(resource.part))
    site.streams = Cluster(site)
    ensure(STREAM, site.streams)
    site.streams.writes.clear()
    monkeypatch.setattr(stream_run, "see_start", lambda *args: None)
    return site


def task(name: str, **params: Any) -> Any:
    run = TaskInstance(LAKE.spec.digest())
    run.get_first_reschedule_date = lambda context: None  # type: ignore[attr-defined]
    return DAG.get_task(name).execute({"ti": run, "params": {**DAG.params.dump(), **params}})


def test_the_dag_restarts_it_once_every_node_has_the_new_pair_and_then_revokes(lake: FakeSite) -> None:
    old = PAIR.pair(lake.keypair)
    task("new_key")
    with pytest.raises(AirflowRescheduleException):
        task("old_key")
    assert not lake.streams.writes, "its new pod might still get the old pair"
    lake.keypair.now += timedelta(seconds=60)
    assert task("old_key")["revoked"]
    assert lake.streams.writes == ["stop_stream", "remove_stream", "submit_stream"]
    assert lake.streams.cut == 0
    assert not lake.keypair.accepts(old)
    assert lake.locks[-2:] == ["Airflow lake_rotate_keys.old_key"] * 2


@pytest.mark.parametrize("when", ["before", "during", "after"])
@pytest.mark.parametrize(("part", "number"), [("host", 0), ("streams", 0), ("streams", 1), ("streams", 2), ("host", 1)])
def test_a_restart_that_is_killed_is_gone_on_with(lake: FakeSite, part: str, number: int, when: str) -> None:
    """Killed at any call the next look ends with a stream that runs with the new pair, and no batch is cut off."""
    old = PAIR.pair(lake.keypair)
    task("new_key")
    lake.keypair.now += timedelta(seconds=60)
    lake.host.writes.clear()
    lake(part).kill_at = (number, when)
    with pytest.raises(Killed):
        task("old_key")
    lake(part).kill_at = None
    if lake.streams.application is None or lake.streams.application.phase != "running":
        lake.keypair.pods[SECRET] = []
    assert task("old_key")["revoked"]
    assert not plan(STREAM, lake.streams)[0]
    assert lake.streams.cut == 0
    assert not lake.keypair.accepts(old)
    assert lake.host.notes == {}


def test_a_stream_that_was_stopped_meanwhile_is_not_begun(lake: FakeSite) -> None:
    lake.host.notes[stream_run.RESTARTING] = "./lake rotate keys"
    stream_run.bring(LAKE, lake, "./lake stream stop", print, run=False)  # type: ignore[arg-type]
    lake.keypair.pods[SECRET] = []
    task("new_key")
    lake.keypair.now += timedelta(seconds=60)
    assert task("old_key")["revoked"]
    assert lake.streams.application is None


def test_another_stream_is_named_and_left_alone(lake: FakeSite) -> None:
    lake.keypair.pods[SECRET].append(PodUse("clicks-driver", lake.keypair.now, "clicks", stream=True))
    task("new_key")
    lake.keypair.now += timedelta(seconds=60)
    with pytest.raises(AirflowRescheduleException):
        task("old_key")
    assert [p.application for p in lake.keypair.pods[SECRET]] == ["clicks", NAME]
    lake.streams.writes.clear()
    with pytest.raises(AirflowRescheduleException):
        task("old_key")
    assert not lake.streams.writes, "it is restarted once"


def test_one_that_does_not_come_to_a_boundary_keeps_its_key(lake: FakeSite) -> None:
    old = PAIR.pair(lake.keypair)
    task("new_key")
    lake.keypair.now += timedelta(seconds=60)
    lake.streams.stuck = "its driver still runs 120 s after it was asked to end"
    with pytest.raises(AirflowFailException, match="still runs 120 s"):
        task("old_key")
    assert lake.keypair.accepts(old)


def test_the_command_restarts_it(lake: FakeSite, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds
        lake.keypair.now += timedelta(seconds=seconds)

    monkeypatch.setattr(commands, "Clients", lambda *args: lake)
    monkeypatch.setattr(commands, "command_line_connections", lambda: None)
    monkeypatch.setattr(commands.time, "sleep", sleep)
    monkeypatch.setattr(commands.time, "monotonic", lambda: 1000 + now[0])
    code, out, err = command(capsys, "rotate", "keys", "--file", str(FILE))
    assert (code, out.splitlines()[-1]) == (0, "Rotated.")
    assert f"{NAME} uses the old key: it ends at a batch boundary" in err
    assert lake.streams.writes == ["stop_stream", "remove_stream", "submit_stream"]


def test_an_error_of_the_restart_is_the_commands(lake: FakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: Any) -> None:
        raise LakeError("run", "stream/payments", "the lake refuses the key pair")

    monkeypatch.setattr(stream_run, "see_start", fails)
    old = PAIR.pair(lake.keypair)
    task("new_key")
    lake.keypair.now += timedelta(seconds=60)
    with pytest.raises(AirflowFailException, match="the lake refuses the key pair"):
        task("old_key")
    assert lake.keypair.accepts(old)
