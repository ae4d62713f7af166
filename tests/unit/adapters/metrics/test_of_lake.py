"""Who watches for weeks sees the declaration and the connections as they are now."""

import json
from pathlib import Path
from typing import Any

import pytest

from include.adapters.metrics.lag import WithLag
from include.adapters.metrics.of_lake import EVERY, Current
from include.adapters.metrics.sources import Sources
from include.connections import Connection
from include.lake.errors import LakeError
from include.lake.lake import Lake, load_lake
from include.lake.secret import Secret
from tests.fakes.declared import streaming

KUBE = {"clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}], "contexts": [{"name": "x", "context": {"cluster": "c", "user": ""}}],
        "current-context": "x"}  # fmt: skip


class World:
    """A declaration, connections and a clock, all of which change."""

    def __init__(self, file: Path) -> None:
        self.now, self.lake, self.password, self.kube = 0.0, streaming(), "old", file
        file.write_text(json.dumps(KUBE))
        self.missing = ""
        self.current = Current(lambda: self.lake, self.connection, everywhere=False, keeps=True, clock=lambda: self.now)

    def connection(self, name: str) -> Connection:
        if name == self.missing:
            raise LakeError("find", f"the connection {name!r}", "it is not configured", "Add it")
        extra = {"bootstrap.servers": "127.0.0.1:1", "endpoint_url": "http://127.0.0.1:1", "kube_config_path": str(self.kube)}
        return Connection(name, "generic", "http://127.0.0.1:1", "root", Secret(self.password), extra=extra)

    def later(self, seconds: float = EVERY) -> Any:
        self.now += seconds
        return self.current.gather()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "kubeconfig")


def test_what_has_not_changed_is_not_made_again(world: World) -> None:
    first = world.current._sources
    world.later()
    world.password = "new"
    world.later(EVERY / 2)
    assert world.current._sources is first, "nor looked at with every sweep"


def test_a_rotated_password_is_used_and_what_waits_to_be_kept_is_not_lost(world: World) -> None:
    first, waiting = world.current._sources, [object()]
    world.current._keeper.waiting = waiting  # type: ignore[union-attr, assignment]
    world.password = "new"
    world.later()
    assert world.current._sources is not first
    assert world.current._keeper.waiting == waiting  # type: ignore[union-attr]
    assert world.current._keeper._past._connection.password.reveal() == "new"  # type: ignore[union-attr, attr-defined]


def test_a_kube_config_that_was_written_anew_is_read_anew(world: World) -> None:
    first = world.current._sources
    world.kube.touch()
    world.later()
    assert world.current._sources is not first


def test_a_stream_that_is_declared_later_has_its_lag(world: World) -> None:
    without: Lake = load_lake()
    world.lake = without
    world.later()
    assert isinstance(world.current._sources, Sources)
    world.lake = streaming()
    world.later()
    assert isinstance(world.current._sources, WithLag)


def test_a_connection_that_went_is_told_and_those_of_before_go_on(world: World) -> None:
    first, world.missing = world.current._sources, "lake_s3"
    sweep = world.later()
    assert sweep.problems[-1] == "Unable to find the connection 'lake_s3': it is not configured. Add it."
    assert world.current._sources is first
    world.missing = ""
    assert "lake_s3" not in str(world.later().problems)
