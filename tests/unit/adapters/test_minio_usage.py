"""What MinIO counts of itself, read from its real answers."""

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from include.adapters.minio import MinioServer
from include.adapters.minio.usage import parse_counters
from include.connections import Connection
from include.lake.errors import Unreachable
from include.lake.secret import Secret
from include.lake.usage import Counted, Counters, Sample
from tests.unit.conftest import recorded

ANSWERS: dict[str, dict[str, Any]] = json.loads(recorded("minio/usage.json"))


@pytest.fixture
def server() -> MinioServer:
    return MinioServer(Connection("minio_admin", "minio", "http://127.0.0.1:3", "lakeroot", Secret("the-root-password")))


def test_before_the_first_round_nothing_is_counted() -> None:
    """Go's year 1 is no time."""
    assert parse_counters(ANSWERS["never"]) == Counters(None, {})


def test_the_counters_of_every_bucket() -> None:
    """Ten names, five of them written twice, three deleted after that."""
    found = parse_counters(ANSWERS["counted"])
    assert found.buckets == {"bench": Counted(20000, 10, 18, 3), "empty": Counted(0, 0, 0, 0)}
    assert found.at is not None
    assert found.at.replace(microsecond=0) == datetime(2026, 11, 25, 2, 36, 38, tzinfo=UTC)


def test_another_servers_answer_is_not_taken_for_counters(server: MinioServer) -> None:
    for text in ("<html>", "{}", "[]"):
        server.__dict__["_admin"] = SimpleNamespace(get_data_usage_info=lambda text=text: text)
        with pytest.raises(Unreachable, match="does not answer as MinIO does"):
            server.counters()


def version(*, latest: bool, marker: bool = False, size: int | None = 10) -> Any:
    return SimpleNamespace(is_latest=str(latest).lower(), is_delete_marker=marker, size=size)


def test_a_sample_asks_for_no_more_than_its_limit(server: MinioServer) -> None:
    asked = []

    def listing(bucket: str, **options: Any) -> Any:
        assert options == {"recursive": True, "include_version": True}
        for number in range(10_000):
            asked.append(number)
            yield version(latest=number % 2 == 0)

    server.__dict__["_s3"] = SimpleNamespace(list_objects=listing)
    assert server.sample("b", 1000) == Sample(False, 500, 5000, 0, 0)
    assert len(asked) == 1000


def test_a_sample_tells_markers_from_versions_and_the_current_from_the_old(server: MinioServer) -> None:
    rows = [version(latest=True), version(latest=False, size=7), version(latest=True, marker=True, size=None), version(latest=False, marker=True, size=0)]
    server.__dict__["_s3"] = SimpleNamespace(list_objects=lambda *args, **options: iter(rows))
    assert server.sample("b", 1000) == Sample(True, 1, 7, 2, 1)
